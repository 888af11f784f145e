"""The plots of the report, each with its key and what it says in words."""

from collections.abc import Sequence
from typing import NamedTuple

from workers.recalibration.drawing import (
    Dash,
    Frame,
    Mark,
    area,
    key,
    mark,
    path,
    share,
    short,
    span,
    svg,
    text,
)
from workers.recalibration.dwell import StageDwell

MOST_SHARE = 3.0
_WIDTH, _HEIGHT = 460, 290


class Line(NamedTuple):
    """A line of a plot: a value per place on the x axis, None where there is none. One of them may be `chosen`;
    around a line there may be a band, (low, high) per place."""

    name: str
    values: Sequence[float | None]
    dash: Dash
    mark: Mark
    chosen: bool = False
    band: Sequence[tuple[float, float] | None] = ()


class RateRow(NamedTuple):
    """A rate with its interval, old and new; each (low, rate, high), None where nothing is known."""

    label: str
    old: tuple[float | None, float | None, float | None]
    new: tuple[float | None, float | None, float | None]


def lines_plot(
    labels: Sequence[str],
    lines: Sequence[Line],
    title: str,
    said: str,
    name: str,
    *,
    percent: bool = False,
    below: str = "",
    width: int = _WIDTH,
) -> str:
    """Lines over the labels, which count what `below` says, from 0 (or below, where values are) up. A share above MOST_SHARE lies at the top edge,
    with its figure beside it: one month that brought in next to nothing would flatten all others."""
    known = [value for line in lines for value in line.values if value is not None]
    known += [fan[1] for line in lines for fan in line.band if fan is not None]
    high, low = max([*known, 0.0]), min([*known, 0.0])
    ticks = span(low, min(high, MOST_SHARE) if percent else high)
    bottom = 48 if below else 34
    frame = Frame(width, _HEIGHT, max(len(labels) - 1, 1), ticks[-1], ticks[0], bottom=bottom)
    parts = frame.grid(ticks, [share(tick) if percent else short(tick) for tick in ticks])
    every = max(-(-len(labels) * 65 // width), 1)
    places = range(0, len(labels), every)
    parts += frame.below(list(places), [labels[place] for place in places])
    parts += [frame.called(below)] if below else []
    marked = max(-(-len(labels) * 32 // width), 1)
    for line in lines:
        shown = [(place, value) for place, value in enumerate(line.values) if value is not None]
        points = [(frame.x(place), frame.y(min(value, ticks[-1]))) for place, value in shown]
        if not points:
            continue
        fans = [(frame.x(place), fan) for place, fan in enumerate(line.band) if fan is not None]
        around = [(x, frame.y(high)) for x, (_, high) in fans]
        around += [(x, frame.y(low)) for x, (low, _) in reversed(fans)]
        parts.insert(0, area(around) if around else "")
        drawn = path(points, line.dash, 2.6 if line.dash == "solid" else 1.8)
        drawn += "".join(mark(line.mark, x, y, 3.6) for x, y in points[::marked])
        parts.append(f"<g class=chosen>{drawn}</g>" if line.chosen else drawn)
        above = [
            (x, value) for (x, _), (_, value) in zip(points, shown, strict=True) if value > ticks[-1] * 1.02
        ]
        if above:
            x, value = max(above, key=lambda each: each[1])
            beside, anchor = (8, "start") if x < frame.left + 80 else (-8, "end")
            parts.append(text(x + beside, frame.top + 16, f"up to {share(value)}", anchor, "count"))
    entries = [(line.name, line.dash, line.mark, line.chosen) for line in lines]
    return key(entries) + svg(width, _HEIGHT, title, said, parts, name)


def calibration_plot(bins: Sequence[tuple[float, float, int]], title: str, said: str, name: str) -> str:
    """Bins as (forecast, actual, rows): actual over forecast, with the diagonal on which forecasts come true."""
    size = 380
    shares = span(0.0, max(max(forecast, actual) for forecast, actual, _ in bins))
    frame = Frame(size, size, shares[-1], shares[-1], bottom=46)
    parts = frame.grid(shares, [share(one) for one in shares])
    parts += frame.below(shares, [share(one) for one in shares])
    parts.append(path([(frame.x(0), frame.y(0)), (frame.x(shares[-1]), frame.y(shares[-1]))], "dotted", 1.4))
    parts.append(frame.called("chance forecast"))
    parts.append(text(frame.left + 6, frame.top + 15, "share won", "start", "quiet"))
    dots = [(frame.x(forecast), frame.y(actual)) for forecast, actual, _ in bins]
    parts.append(f"<g class=chosen>{''.join(mark('disc', x, y, 4.6) for x, y in dots)}</g>")
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in dots]
    for (x, y), (_, _, rows) in zip(dots, bins, strict=True):
        box, label = _free(x, y, f"{rows:,}", taken, size)
        taken.append(box)
        parts.append(label)
    return svg(size, size, title, said, parts, name)


def rates_plot(rows: Sequence[RateRow], old: str, new: str, title: str, said: str, name: str) -> str:
    """A line per rate: the old one above, the new one below it, with their intervals."""
    height = 30 + 34 * len(rows)
    frame = Frame(_WIDTH, height + 22, 1.0, 1.0, left=_beside([row.label for row in rows]))
    parts = []
    for one in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = frame.x(one)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height - 4}"/>')
        parts.append(text(x, height + 14, share(one)))
    for place, row in enumerate(rows):
        middle = 22 + 34 * place
        parts.append(text(frame.left - 10, middle + 4, row.label, "end"))
        for (low, rate, high), y, kind in ((row.old, middle - 6, "ring"), (row.new, middle + 6, "disc")):
            if rate is None:
                continue
            drawn = mark("ring" if kind == "ring" else "disc", frame.x(rate), y, 4.2)
            if low is not None and high is not None:
                width = 1.4 if kind == "ring" else 3.4
                drawn = path([(frame.x(low), y), (frame.x(high), y)], "solid", width) + drawn
            parts.append(drawn if kind == "ring" else f"<g class=chosen>{drawn}</g>")
    entries: list[tuple[str, Dash, Mark, bool]] = [
        (old, "solid", "ring", False),
        (new, "solid", "disc", True),
    ]
    return key(entries) + svg(_WIDTH, height + 22, title, said, parts, name)


def dwell_plot(stages: Sequence[StageDwell], title: str, said: str, name: str) -> str:
    """Per stage the middle half of all visits as a box with the median, up to the 90th percentile as a line, and
    under it a tick for each open deal at its age. Days grow by their square root, so that quick stages show."""
    height = 16 + 46 * len(stages)
    ages = [age for stage in stages for age in stage.ages]
    most = max([*ages, *(stage.p90 or stage.p75 or 0.0 for stage in stages), 1.0])
    frame = Frame(_WIDTH, height + 34, most**0.5, 1.0, left=_beside([stage.stage for stage in stages]))
    parts = []
    for days in (0, 1, 7, 14, 30, 60, 90, 180, 365, 730, 1460):
        if days <= most and (days in {0, 7, 30} or days > 30 or most < 40):
            x = frame.x(days**0.5)
            parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="6" y2="{height - 2}"/>')
            parts.append(text(x, height + 14, str(days)))
    parts.append(text(frame.width - frame.right, height + 31, "days in the stage", "end", "quiet"))
    for place, stage in enumerate(stages):
        y = 22 + 46 * place
        parts.append(text(frame.left - 10, y + 4, stage.stage, "end"))
        parts.append(text(frame.left - 10, y + 18, f"{stage.open:,} open", "end", "quiet"))
        if stage.p25 is not None:
            begin, end = frame.x(stage.p25**0.5), frame.x((most if stage.p75 is None else stage.p75) ** 0.5)
            far = frame.x((most if stage.p90 is None else stage.p90) ** 0.5)
            parts.append(path([(end, y), (far, y)], "solid", 1.4))
            parts.append(
                f'<rect class="box" x="{begin:.1f}" y="{y - 8}" width="{max(end - begin, 1.0):.1f}" height="16"/>'
            )
            if stage.median is not None:
                x = frame.x(stage.median**0.5)
                parts.append(path([(x, y - 8), (x, y + 8)], "solid", 3))
        ticks = "".join(f"M{frame.x(age**0.5):.1f} {y + 12}v9" for age in stage.ages)
        parts.append(f'<path class="ink" d="{ticks}" stroke-width="0.8"/>' if ticks else "")
    return svg(_WIDTH, height + 34, title, said, parts, name)


def _beside(labels: Sequence[str]) -> int:
    """The room that labels need on the left."""
    return 22 + round(7.1 * max((len(label) for label in labels), default=0))


def _free(
    x: float, y: float, label: str, taken: Sequence[tuple[float, float, float, float]], size: int
) -> tuple[tuple[float, float, float, float], str]:
    """A label near a point where no other one is, if there is such a place."""
    width = 6.6 * len(label)
    places = [(8, 14), (-8 - width, -6), (8, -6), (-8 - width, 14), (-width / 2, 22), (-width / 2, -12)]
    for across, down in places:
        left, base = x + across, y + down
        box = (left, base - 10, left + width, base + 2)
        free = all(box[0] >= b[2] or box[2] <= b[0] or box[1] >= b[3] or box[3] <= b[1] for b in taken)
        if free and left > 54 and left + width < size and base < size - 36:
            break
    return box, text(left, base, label, "start", "count")
