"""Stage win rates: one per stage, or one per stage and age group, and the counts they rest on."""

from dataclasses import dataclass

import numpy as np

from domain.recalibration.columns import Flags, Floats, Ints, micros
from domain.recalibration.landmarks import Landmarks
from domain.recalibration.sample import Sample

AGES = ("fresh", "stalled")


@dataclass(frozen=True)
class Rates:
    """Win rates in whole millionths, half-even, -1 where unknown; shape (stages, 1) or (stages, 2).

    One column is a rate whatever the age; two are the rates of fresh and of stalled deals.
    """

    micros: Ints

    @classmethod
    def rounded(cls, rates: Floats) -> "Rates":
        """Rates between 0 and 1, NaN where unknown, rounded before any further use."""
        return cls(micros(np.clip(rates, 0.0, 1.0)))

    @property
    def by_age(self) -> bool:
        """Whether a stage has two rates."""
        return bool(self.micros.shape[1] == 2)

    def of(self, rows: Landmarks) -> Ints:
        """The rate of each row, in millionths, or -1."""
        return self.micros[rows.stage, age_group(rows, self.by_age)]


@dataclass(frozen=True)
class Counts:
    """What a rate rests on, integers of the same shape as the rates.

    rows         landmark rows, resolved or not
    deals        distinct deals behind them
    wins         distinct deals of them that are won (of a dated funnel: in the row's period)
    unresolved   rows without a label yet
    """

    rows: Ints
    deals: Ints
    wins: Ints
    unresolved: Ints

    @property
    def unresolved_share(self) -> Floats:
        """Share of the rows without a label; NaN of no rows. Above 0.1 it must be said."""
        with np.errstate(invalid="ignore"):
            return np.where(self.rows > 0, self.unresolved / np.maximum(self.rows, 1), np.nan)


def age_group(rows: Landmarks, by_age: bool) -> Ints:
    """Column of each row in a table of rates."""
    return rows.stalled.astype(np.int64) if by_age else np.zeros(len(rows), dtype=np.int64)


def count(sample: Sample, by_age: bool) -> Counts:
    """Rows, deals, wins and unresolved rows per stage, or per stage and age group."""
    ages = 2 if by_age else 1
    cell = sample.rows.stage * ages + age_group(sample.rows, by_age)
    shape = (len(sample.histories.stages), ages)
    size = shape[0] * ages

    def distinct(chosen: Flags) -> Ints:
        pairs = np.unique(cell[chosen] * sample.histories.deals + sample.rows.deal[chosen])
        return np.bincount(pairs // max(sample.histories.deals, 1), minlength=size).reshape(shape)

    return Counts(
        rows=np.bincount(cell, minlength=size).reshape(shape),
        deals=distinct(np.ones(len(cell), dtype=np.bool_)),
        wins=distinct(sample.label == 1),
        unresolved=np.bincount(cell[~sample.resolved], minlength=size).reshape(shape),
    )
