"""How far forecasts were from what happened."""

from dataclasses import dataclass

import numpy as np

from domain.recalibration.columns import Floats

SURE = 1e-6
"""A chance is kept this far from 0 and 1, since one surprise would otherwise cost infinitely much."""


@dataclass(frozen=True)
class Bin:
    """Rows of like chances: how many, their mean chance, and the share of them that was won."""

    rows: int
    forecast: float
    actual: float


def wape(forecast: Floats, actual: Floats) -> float | None:
    """sum |F - actual| / sum actual; None where the actual is 0."""
    total = float(actual.sum())
    return float(np.abs(forecast - actual).sum()) / total if total > 0 else None


def bias(forecast: Floats, actual: Floats) -> float | None:
    """sum (F - actual) / sum actual, positive where too much was forecast; None where the actual is 0."""
    total = float(actual.sum())
    return float((forecast - actual).sum()) / total if total > 0 else None


def brier(chance: Floats, outcome: Floats) -> float:
    """Mean squared distance of chances from outcomes. An outcome strictly between 0 and 1 is an expectation of
    a deal still open, and stands for its two outcomes in that proportion."""
    return float((outcome * (1.0 - chance) ** 2 + (1.0 - outcome) * chance**2).mean())


def log_loss(chance: Floats, outcome: Floats) -> float:
    """Mean of -log of the chance given to what happened, natural logarithm; outcomes as in `brier`."""
    inside = np.clip(chance, SURE, 1.0 - SURE)
    return float(-(outcome * np.log(inside) + (1.0 - outcome) * np.log(1.0 - inside)).mean())


def calibration(chance: Floats, outcome: Floats, bins: int = 10) -> tuple[Bin, ...]:
    """Rows in order of their chance, cut into bins of equal mass (fewer rows than bins: one each)."""
    order = np.argsort(chance, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return tuple(Bin(len(part), float(chance[part].mean()), float(outcome[part].mean())) for part in parts)
