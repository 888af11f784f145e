"""Plots as SVG: told apart by dashes and marks rather than by colour, in the colours of the page that holds them."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import count
from typing import Literal

Dash = Literal["solid", "dashed", "dotted", "dashdot"]
Mark = Literal["disc", "ring", "triangle", "square"]

_DASHES = {"solid": "", "dashed": "7 4", "dotted": "1.5 4", "dashdot": "9 4 1.5 4"}


@dataclass(frozen=True)
class Frame:
    """The plane of a plot: from (left, top) to (right, bottom) in drawing units, over [0, x_most] and y from low to
    high."""

    width: int
    height: int
    x_most: float
    y_high: float
    y_low: float = 0.0
    left: int = 52
    right: int = 22
    top: int = 12
    bottom: int = 34

    def x(self, value: float) -> float:
        """Where a value lies across."""
        return self.left + (self.width - self.right - self.left) * value / (self.x_most or 1.0)

    def y(self, value: float) -> float:
        """Where a value lies, upwards."""
        share = (value - self.y_low) / ((self.y_high - self.y_low) or 1.0)
        return self.height - self.bottom - (self.height - self.bottom - self.top) * share

    def grid(self, values: Sequence[float], shown: Sequence[str]) -> list[str]:
        """Lines across at some values, each with its label on the left."""
        return [
            f'<line class="{"axis" if abs(value) < 1e-12 else "grid"}" x1="{self.left}" x2="{self.width - self.right}"'
            f' y1="{self.y(value):.1f}" y2="{self.y(value):.1f}"/>'
            + text(self.left - 7, self.y(value) + 4, label, "end")
            for value, label in zip(values, shown, strict=True)
        ]

    def below(self, places: Sequence[float], labels: Sequence[str]) -> list[str]:
        """Labels under the plane."""
        return [
            text(self.x(place), self.height - self.bottom + 17, label)
            for place, label in zip(places, labels, strict=True)
        ]

    def called(self, label: str) -> str:
        """What the x axis counts."""
        return text(self.width - self.right, self.height - 3, label, "end", "quiet")


def text(x: float, y: float, label: str, anchor: str = "middle", kind: str = "") -> str:
    """A label; `anchor` says which part of it lies at x."""
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(label)}</text>'


def path(points: Sequence[tuple[float, float]], dash: Dash, width: float = 2.0) -> str:
    """A line through points."""
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashes = f' stroke-dasharray="{_DASHES[dash]}"' if _DASHES[dash] else ""
    return f'<polyline class="ink" points="{line}" stroke-width="{width:g}"{dashes}/>'


def area(corners: Sequence[tuple[float, float]]) -> str:
    """A shaded area."""
    return f'<polygon class="band" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in corners)}"/>'


def mark(kind: Mark, x: float, y: float, size: float = 4.0) -> str:
    """A mark around a point: filled or open, round or cornered."""
    match kind:
        case "disc":
            return f'<circle class="full" cx="{x:.1f}" cy="{y:.1f}" r="{size:g}"/>'
        case "ring":
            return f'<circle class="open" cx="{x:.1f}" cy="{y:.1f}" r="{size:g}"/>'
        case "square":
            return f'<rect class="open" x="{x - size:.1f}" y="{y - size:.1f}" width="{2 * size:g}" height="{2 * size:g}"/>'
        case "triangle":
            corners = f"{x:.1f},{y - size:.1f} {x + size:.1f},{y + size:.1f} {x - size:.1f},{y + size:.1f}"
            return f'<polygon class="open" points="{corners}"/>'


def key(entries: Sequence[tuple[str, Dash, Mark, bool]]) -> str:
    """The key of a plot: what each line and mark stands for, and whether it is the chosen one."""
    shown = []
    for label, dash, kind, chosen in entries:
        drawn = path([(1, 7), (35, 7)], dash) + mark(kind, 18, 7)
        of_kind = " class=chosen" if chosen else ""
        shown.append(
            f'<span><svg viewBox="0 0 36 14" width="36" height="14" aria-hidden="true"><g{of_kind}>{drawn}</g></svg>'
            f"{escape(label)}</span>"
        )
    return f'<div class="key">{"".join(shown)}</div>'


def svg(width: int, height: int, title: str, said: str, parts: Sequence[str], name: str) -> str:
    """The drawing, with a title and a sentence for those who do not see it; `name` is unique on the page."""
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-labelledby="{name}-title {name}-said">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-said">{escape(said)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def steps(most: float, parts: int = 4) -> list[float]:
    """Round numbers from 0 to at least `most`, about so many."""
    if most <= 0:
        return [0.0, 1.0]
    for power in count(-6):
        for head in (1, 2, 2.5, 5):
            step = head * 10.0**power
            if step * parts >= most * (1 - 1e-9):
                needed = -int(-most / step * (1 - 1e-9) // 1)
                return [step * n for n in range(needed + 1)]
    raise AssertionError("unreachable")


def span(low: float, high: float) -> list[float]:
    """Round numbers an equal step apart, 0 among them, from at most `low` to at least `high`."""
    step = steps(max(high, -low, 0.0), 3 if low < 0 < high else 4)[1]
    down, up = -int(-min(low, 0.0) / step * (1 - 1e-9) // -1), -int(-max(high, 0.0) / step * (1 - 1e-9) // 1)
    return [step * n for n in range(-down, max(up, 1) + 1)]


def share(value: float) -> str:
    """A share as a whole percentage, without a sign on nothing."""
    return f"{value:.0%}" if abs(value) >= 0.005 else "0%"


def short(amount: float) -> str:
    """An amount in thousands (k) or millions (M) where that is shorter."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(amount) >= unit:
            return f"{amount / unit:.3g}{letter}"
    return f"{amount:.3g}"
