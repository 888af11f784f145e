"""From daily hazards to the chance to win: through the rest of a visit and every visit that may follow it."""

from dataclasses import dataclass

import numpy as np

from domain.recalibration.columns import Floats, Ints
from domain.recalibration.hazards import Hazards

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
        return np.clip(begin + (end - begin) * elapsed, 0.0, 1.0)


def chances(hazards: Hazards, prior: float) -> Chances:
    """The chance to be won in the end, for every cell, weekday of entry and age.

    Deals move from visit to visit, back as well as on, so the chances on entry solve a linear system; they
    may depend on the weekday of entry. Where a stage is hardly known its chances lean on `prior`, the share
    won of all closed deals.
    """
    daily, cells = hazards.daily, hazards.daily.shape[0]
    stage_of = np.arange(cells) % (cells // 2)
    length = hazards.length[stage_of]
    ages = daily.shape[3]
    before_tail = np.arange(ages) < length[:, None]
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
    base = surviving[:, :, -1] * (lean * prior)[:, None] + share[:, :, cells, :].sum(axis=2)
    system = np.eye(cells * 7) - share[:, :, :cells, :].reshape(cells * 7, cells * 7)
    entry_value = np.linalg.solve(system + 1e-12 * np.eye(cells * 7), base.ravel()).reshape(cells, 7)

    value = np.concatenate([entry_value, np.ones((1, 7)), np.zeros((1, 7))])
    tail_value = mix @ value.mean(axis=1) + lean * prior
    weekday = (np.arange(7)[:, None] + np.arange(ages)) % 7
    gained = np.einsum("kcgu,cgu->kgu", ending, value[:, weekday])
    ahead = np.concatenate([gained[:, :, ::-1].cumsum(axis=2)[:, :, ::-1], np.zeros((cells, 7, 1))], axis=2)
    ahead += (surviving[:, :, -1] * tail_value[:, None])[..., None]
    beyond = np.arange(ages + 1) >= length[:, None]
    known = ~beyond[:, None, :] & (surviving > NEVER)
    table = np.divide(
        ahead, surviving, out=np.broadcast_to(tail_value[:, None, None], ahead.shape).copy(), where=known
    )
    return Chances(np.clip(table, 0.0, 1.0))


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
