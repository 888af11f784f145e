"""From daily hazards to the chance to win: through the rest of a visit and every visit that may follow it."""

from dataclasses import dataclass

import numpy as np

from domain.recalibration.columns import Floats, Ints
from domain.recalibration.hazards import Hazards
from domain.recalibration.memory import Memory

NEVER = 1e-200


@dataclass(frozen=True)
class Chances:
    """open [cell, weekday of entry, day of age]: the chance that a deal is won, at the beginning of the day;
    the last day stands for all later ones.
    """

    open: Floats

    def of(self, cell: Ints, weekday: Ints, age: Ints, elapsed: Floats) -> Floats:
        """The chance of visits at an age of so many days and a part of a day, 0 to 1, between its ends."""
        last = self.open.shape[2] - 1
        begin = self.open[cell, weekday, np.minimum(age, last)]
        end = self.open[cell, weekday, np.minimum(age + 1, last)]
        chance: Floats = np.clip(begin + (end - begin) * elapsed, 0.0, 1.0)
        return chance


@dataclass(frozen=True)
class Chain:
    """What visits of every cell, weekday of entry and age lead to.

    surviving   [cell, weekday of entry, day of age]: the share of visits that see the day begin
    ending      [cell, cause, weekday of entry, day of age]: the share that ends on it so, before the tail
    value       [cell or outcome, weekday]: the chance to be won of what begins on that weekday
    tail_mix, tail_lean   per cell, how a visit in the tail ends, and what it is worth beside that
    """

    hazards: Hazards
    surviving: Floats
    ending: Floats
    value: Floats
    tail_mix: Floats
    tail_lean: Floats

    def chances(self, memory: Memory | None = None) -> Chances:
        """The chances of visits by their age; with a memory, moves are worth what their age makes them."""
        cells, ages = self.ending.shape[0], self.ending.shape[3]
        stages = cells // 2
        weekday = (np.arange(7)[:, None] + np.arange(ages)) % 7
        length = self.hazards.length[np.arange(cells) % stages]
        gained, tail = np.empty((cells, 7, ages)), np.empty(cells)
        for cell in range(cells):
            by_day, by_mean = self.value[:, weekday], self.value.mean(axis=1)
            if memory is not None:
                by_day[:cells] = memory.at(by_day[:cells], cell % stages, slice(ages))
                by_mean[:cells] = memory.at(by_mean[:cells], cell % stages, min(length[cell], ages - 1))
            gained[cell] = np.einsum("cgu,cgu->gu", self.ending[cell], by_day)
            tail[cell] = self.tail_mix[cell] @ by_mean + self.tail_lean[cell]
        ahead = np.concatenate(
            [gained[:, :, ::-1].cumsum(axis=2)[:, :, ::-1], np.zeros((cells, 7, 1))], axis=2
        )
        ahead += (self.surviving[:, :, -1] * tail[:, None])[..., None]
        beyond = np.arange(ages + 1) >= length[:, None]
        known = ~beyond[:, None, :] & (self.surviving > NEVER)
        beyond_tail = np.broadcast_to(tail[:, None, None], ahead.shape).copy()
        return Chances(np.clip(np.divide(ahead, self.surviving, out=beyond_tail, where=known), 0.0, 1.0))


def chain(hazards: Hazards, prior: float, reopening: Floats) -> Chain:
    """Follow every visit to its end.

    Deals move from visit to visit, back as well as on, so the chances on entry solve a linear system; they
    may depend on the weekday of entry. Where a stage is hardly known its chances lean on `prior`, the share
    won of all closed deals. A lost deal is worth what `reopening`, the chance per cell to be reopened in it, brings.
    """
    daily, cells = hazards.daily, hazards.daily.shape[0]
    stage_of = np.arange(cells) % (cells // 2)
    length = hazards.length[stage_of]
    before_tail = np.arange(daily.shape[3]) < length[:, None]
    staying = np.where(before_tail[:, None, :], 1.0 - daily.sum(axis=1), 1.0)
    surviving = np.concatenate([np.ones((cells, 7, 1)), np.cumprod(staying, axis=2)], axis=2)
    ending = daily * (surviving[:, :, :-1] * before_tail[:, None, :])[:, None]

    # Exits by their own weekday: share [cell, weekday of entry, cause, weekday of exit].
    share = np.zeros((cells, 7, cells + 2, 7))
    for offset in range(7):
        for entry in range(7):
            share[:, entry, :, (entry + offset) % 7] += ending[:, :, entry, offset::7].sum(axis=2)
    mix, lean = _tail_mix(hazards, stage_of)
    share += (surviving[:, :, -1, None] * mix[:, None, :])[..., None] / 7.0
    returning = share[:, :, cells + 1, :].sum(axis=2)
    share[:, :, :cells, :] += (returning[:, :, None] * reopening)[..., None] / 7.0
    base = surviving[:, :, -1] * (lean * prior)[:, None] + share[:, :, cells, :].sum(axis=2)
    system = np.eye(cells * 7) - share[:, :, :cells, :].reshape(cells * 7, cells * 7)
    entry_value = np.linalg.solve(system + 1e-12 * np.eye(cells * 7), base.ravel()).reshape(cells, 7)
    lost = np.full((1, 7), float(reopening @ entry_value.mean(axis=1)))
    value = np.clip(np.concatenate([entry_value, np.ones((1, 7)), lost]), 0.0, 1.0)
    return Chain(hazards, surviving, ending, value, mix, lean * prior)


def _tail_mix(hazards: Hazards, stage_of: Ints) -> tuple[Floats, Floats]:
    """Per cell how a visit in the tail ends, and the weight that the prior has in its place."""
    total = hazards.tail.sum(axis=1)
    mix = np.divide(hazards.tail, total[:, None], out=np.zeros_like(hazards.tail), where=total[:, None] > 0)
    known = hazards.trust * (total > 0)
    return (mix * (known * hazards.worth)[:, None])[stage_of], ((1.0 - known) * _worth_of_unknown(hazards))[
        stage_of
    ]


def _worth_of_unknown(hazards: Hazards) -> Floats:
    """A stage that hardly any deal has left is worth the prior, however few of its visits ended."""
    return np.where(hazards.trust < 1.0, 1.0, hazards.worth)
