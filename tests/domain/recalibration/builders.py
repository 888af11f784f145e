"""Small histories written by hand, and large ones from a seeded simulator whose truth is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import pi, sin
from random import Random
from typing import NamedTuple

import numpy as np

from domain.recalibration.columns import DAY, ints
from domain.recalibration.histories import LOST, NO_MONTH, WON, Histories
from domain.recalibration.labels import Target
from domain.recalibration.landmarks import Landmarks, microseconds, week_ends
from domain.recalibration.matching import ForecastMatch
from domain.recalibration.sample import Sample

START = microseconds(datetime(2024, 1, 1, tzinfo=UTC))
"""A Monday."""


class Version(NamedTuple):
    """What one event made of a deal; time in days after START."""

    day: float
    state: int
    amount: int = 100
    month: int = NO_MONTH
    known: float | None = None
    team: int = 0


def histories_of(deals: dict[int, Sequence[Version]], stages: int = 3, stall_days: int = 14) -> Histories:
    """Histories of deals by id, in whatever order they are given."""
    ids = sorted(deals)
    rows = [(index, version) for index, deal in enumerate(ids) for version in deals[deal]]
    column = [version for _, version in rows]
    return Histories(
        stages=tuple(f"stage {number}" for number in range(stages)),
        stall_after=np.full(stages, stall_days * DAY, dtype=np.int64),
        deal_id=ints(ids),
        deal=ints([index for index, _ in rows]),
        occurred_at=ints([START + round(v.day * DAY) for v in column]),
        known_at=ints([START + round((v.day if v.known is None else v.known) * DAY) for v in column]),
        state=ints([v.state for v in column]),
        amount=ints([v.amount for v in column]),
        close_month=ints([v.month for v in column]),
        grade=ints([0 for _ in column]),
        team=ints([v.team for v in column]),
    )


def sample_of(histories: Histories, days: float, target: Target = Target.EVENTUALLY) -> Sample:
    """The sample with all weeks from START to a cut-off so many days later."""
    cutoff = START + round(days * DAY)
    return Sample(histories, cutoff, week_ends(START, cutoff, UTC), target, UTC)


@dataclass(frozen=True)
class World:
    """A funnel of three stages in which a deal moves once a day at most, with chances that are known.

    chances   per stage the daily chance of: going back, next stage, skipping one, winning, losing
    season    how much rarer moves are at week ends (0 none, 1 nothing moves)
    quarterly how much the chance to win rises and falls over each 91 days, as a share
    drift     how much the chance to win has changed by the end of the history, as a share
    reopen    chance that a lost deal is reopened, in the first stage, a week later
    expiry    age in days at which a deal in stage 1 is lost (0 never)
    """

    chances: tuple[tuple[float, float, float, float, float], ...] = (
        (0.0, 0.08, 0.02, 0.0, 0.06),
        (0.02, 0.06, 0.0, 0.02, 0.04),
        (0.02, 0.0, 0.0, 0.10, 0.05),
    )
    season: float = 0.0
    quarterly: float = 0.0
    drift: float = 0.0
    reopen: float = 0.0
    expiry: int = 0

    def win_chance(self) -> list[float]:
        """The chance to be won in the end from each stage, where nothing depends on age or time."""
        moves, wins = np.zeros((3, 3)), np.zeros(3)
        for stage, (back, on, skip, win, _lose) in enumerate(self.chances):
            for target, chance in ((stage - 1, back), (stage + 1, on), (stage + 2, skip)):
                if chance:
                    moves[stage, target] = chance
            wins[stage] = win
        leaving = np.diag([sum(row) for row in self.chances])
        return [float(chance) for chance in np.linalg.solve(leaving - moves, wins)]

    def simulate(self, deals: int, days: int, seed: int) -> dict[int, list[Version]]:
        """Deals born evenly over so many days, followed until they are closed."""
        rng = Random(seed)
        return {number: self._deal(rng, rng.random() * days, days) for number in range(deals)}

    def said(self, rows: Landmarks, bias: Sequence[float], noise: float, seed: int) -> ForecastMatch:
        """What managers forecast for rows: each knows the chances, has a bias (one per team), and guesses with noise."""
        rng = np.random.default_rng(seed)
        chance, own = np.array(self.win_chance())[rows.stage], 1 + np.array(bias)[rows.team]
        return ForecastMatch(rows, rows.amount * chance * own * rng.normal(1, noise, len(rows)))

    def _deal(self, rng: Random, born: float, days: int) -> list[Version]:
        amount, stage, day, age = rng.randint(50, 500), 0, born, 0
        versions = [Version(day, stage, amount)]
        while day < born + 2000:
            day, age = day + 1, age + 1
            if self.expiry and stage == 1 and age >= self.expiry:
                return [*versions, Version(day, LOST, amount)]
            if int(day) % 7 >= 5 and rng.random() < self.season:
                continue
            back, on, skip, win, lose = self.chances[stage]
            win *= 1 + self.drift * day / days + self.quarterly * sin(2 * pi * day / 91)
            draw = rng.random()
            for chance, state in (
                (back, stage - 1),
                (on, stage + 1),
                (skip, stage + 2),
                (win, WON),
                (lose, LOST),
            ):
                if draw < chance:
                    versions.append(Version(day, state, amount))
                    stage, age = state, 0
                    if state == LOST and rng.random() < self.reopen:
                        day, stage = day + 7, 0
                        versions.append(Version(day, stage, amount))
                    break
                draw -= chance
            if stage < 0:
                return versions
        return versions
