"""Small plots as SVG, told apart by dashes and marks rather than by colour."""

from collections.abc import Sequence
from html import escape
from typing import Literal, NamedTuple

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 820, 300, 80, 40, 20
_DASHES = {"solid": "", "dashed": "9 5", "dotted": "2 4"}


class Line(NamedTuple):
    """A line of a plot: a value per place on the x axis, None where there is none."""

    name: str
    values: Sequence[float | None]
    dash: Literal["solid", "dashed", "dotted"]


def lines_plot(labels: Sequence[str], lines: Sequence[Line]) -> str:
    """Lines over the labels, from 0 up, each named at its end."""
    top = max((v for line in lines for v in line.values if v is not None), default=0.0) or 1.0
    right = _WIDTH - 120

    def x(place: int) -> float:
        return _LEFT + (right - _LEFT) * place / max(len(labels) - 1, 1)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * value / top

    parts = []
    for step in range(5):
        value = top * step / 4
        parts.append(
            f'<line x1="{_LEFT}" x2="{right}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>'
            f'<text x="{_LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:,.0f}</text>'
        )
    every = max(len(labels) // 10, 1)
    parts += [
        f'<text x="{x(place):.1f}" y="{_HEIGHT - 15}" text-anchor="middle">{escape(label)}</text>'
        for place, label in enumerate(labels)
        if place % every == 0
    ]
    taken: list[float] = []
    for line in lines:
        points = [(x(place), y(value)) for place, value in enumerate(line.values) if value is not None]
        if not points:
            continue
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="#111" stroke-width="2"'
            f' stroke-dasharray="{_DASHES[line.dash]}"/>'
        )
        beside = points[-1][1]
        while any(abs(beside - other) < 14 for other in taken):
            beside -= 14
        taken.append(beside)
        parts.append(f'<text x="{right + 8}" y="{beside + 4:.1f}">{escape(line.name)}</text>')
    return _svg(_WIDTH, _HEIGHT, parts)


def calibration_plot(bins: Sequence[tuple[float, float, int]]) -> str:
    """Bins as (forecast, actual, rows): actual over forecast, with the diagonal on which forecasts come true."""
    size, low, high = 360, 45, 345

    def at(share: float) -> float:
        return low + (high - low) * share

    parts = [
        f'<rect x="{low}" y="{size - high}" width="{high - low}" height="{high - low}" fill="none" stroke="#999"/>',
        f'<line x1="{low}" y1="{size - low}" x2="{high}" y2="{size - high}" stroke="#999" stroke-dasharray="4 4"/>',
    ]
    for share in (0.0, 0.5, 1.0):
        below = f'<text x="{at(share):.0f}" y="{size - low + 18}" text-anchor="middle">{share:.0%}</text>'
        beside = f'<text x="{low - 6}" y="{size - at(share) + 4:.0f}" text-anchor="end">{share:.0%}</text>'
        parts += [below, beside]
    for forecast, actual, rows in bins:
        parts.append(
            f'<circle cx="{at(forecast):.1f}" cy="{size - at(actual):.1f}" r="4" fill="#111"/>'
            f'<text x="{at(forecast) + 7:.1f}" y="{size - at(actual) + 14:.1f}">{rows}</text>'
        )
    return _svg(size + 20, size, parts)


def interval_bar(low: float | None, rate: float | None, high: float | None) -> str:
    """An interval within 0 to 1, with a mark at the rate."""
    if low is None or rate is None or high is None:
        return ""
    return _svg(
        204,
        16,
        [
            '<line x1="2" x2="202" y1="8" y2="8" stroke="#ccc"/>',
            f'<line x1="{2 + 200 * low:.1f}" x2="{2 + 200 * high:.1f}" y1="8" y2="8" stroke="#111" stroke-width="5"/>',
            f'<line x1="{2 + 200 * rate:.1f}" x2="{2 + 200 * rate:.1f}" y1="1" y2="15" stroke="#111" stroke-width="2"/>',
        ],
    )


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">{"".join(parts)}</svg>'
