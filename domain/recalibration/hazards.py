"""How likely a visit is to end on each of its days, and how: daily hazards by stage, age and day of the week.

A visit's age is counted in local days; day 0 is the rest of the day of entry. From the day on which fewer than
TAIL_RISK visits of its stage are left, age tells nothing more, and hazards stay as over the last TAIL_EXITS.
Few visits borrow from their stage as if REPEAT_PRIOR further visits had followed its course.
"""

from dataclasses import dataclass

import numpy as np

from domain.recalibration.columns import Floats, Ints
from domain.recalibration.shrinkage import PRIOR_DEALS
from domain.recalibration.visit_counts import VisitCounts

TAIL_RISK = 10.0
TAIL_EXITS = 40.0
REPEAT_PRIOR = 20.0
WEEKDAY_PRIOR = 50.0
"""Exits, as expected, behind each day of the week: a handful of exits on a Sunday makes no pattern."""


@dataclass(frozen=True)
class Hazards:
    """daily   [cell, cause, weekday of entry, day of age]: the chance that a visit which saw the day begin ends
            on it by the cause; of any visit the chances of a day add up to 1 at most
    tail    [stage, cause]: the same on every day from `length` on
    length  [stage]: days of age before the tail
    trust   [stage]: n / (n + 20) where fewer than 20 visits were seen to end, else 1
    worth   [stage]: what a visit in the tail is worth, as a share of what its last exits say: 1 - 2 S, at least
            half, where S is the share of visits that outlast `length`. An old history has S near 0. A young
            one has not yet seen how its old visits end, and old deals end badly more often than not: offers
            expire, pipelines are cleaned up.
    """

    daily: Floats
    tail: Floats
    length: Ints
    trust: Floats
    worth: Floats


def fit_hazards(counts: VisitCounts) -> Hazards:
    """Hazards that make the counts most likely, small samples borrowing from their stage."""
    stage = counts.by_stage()
    factor = _weekday_factors(stage)
    pooled = _by_age(stage.exits.sum(axis=2), _exposure(stage.at_risk, factor))
    surviving = np.cumprod(1.0 - np.minimum(pooled.sum(axis=1), 1.0), axis=1)
    begun = np.concatenate([np.ones((len(surviving), 1)), surviving[:, :-1]], axis=1)

    behind = REPEAT_PRIOR * np.tile(begun, (2, 1))[:, None, :]
    exits = counts.exits.sum(axis=2) + behind * np.tile(pooled, (2, 1, 1))
    hazard = _by_age(exits, _exposure(counts.at_risk, np.tile(factor, (2, 1, 1))) + behind)

    ages = hazard.shape[2]
    weekday = (np.arange(7)[:, None] + np.arange(ages)) % 7
    on_day = np.tile(factor, (2, 1, 1))[:, :, weekday]
    on_day[..., 0] = 1.0
    daily = hazard[:, :, None, :] * on_day
    length, tail = _tail(stage)
    outlasting = np.take_along_axis(np.append(begun, surviving[:, -1:], axis=1), length[:, None], axis=1)[
        :, 0
    ]
    return Hazards(
        daily=daily / np.maximum(daily.sum(axis=1, keepdims=True), 1.0),
        tail=tail,
        length=length,
        trust=_trust(stage),
        worth=np.maximum(0.5, 1.0 - 2.0 * outlasting) if stage.at_risk.any() else np.ones(len(length)),
    )


def _weekday_factors(stage: VisitCounts) -> Floats:
    """[stage, cause, weekday]: how many times likelier an exit is on that day of the week than by age alone.

    Multiplicative Poisson fit by alternation. The day of entry is left out: how much of it is left differs.
    """
    ages = stage.at_risk.shape[2]
    days = np.arange(1, ages)
    entry = (np.arange(7)[:, None] - days) % 7
    exits = stage.exits[:, :, entry, days]
    at_risk = stage.at_risk[:, entry, days]
    by_age, by_weekday = exits.sum(axis=2), exits.sum(axis=3)
    factor: Floats = np.ones_like(by_weekday)
    for _ in range(8):
        hazard = _by_age(by_age, np.einsum("scw,swu->scu", factor, at_risk))
        expected = np.einsum("swu,scu->scw", at_risk, hazard)
        factor = (by_weekday + WEEKDAY_PRIOR) / (expected + WEEKDAY_PRIOR)
    return factor


def _exposure(at_risk: Floats, factor: Floats) -> Floats:
    """[cell, cause, day of age]: visits at risk, each day weighed by the factor of its weekday."""
    ages = at_risk.shape[2]
    days = np.arange(ages)
    entry = (np.arange(7)[:, None] - days) % 7
    exposure: Floats = np.einsum("kcw,kwu->kcu", factor, at_risk[:, entry, days])
    exposure[:, :, 0] = at_risk[:, :, 0].sum(axis=1)[:, None]
    return exposure


def _by_age(exits: Floats, exposure: Floats) -> Floats:
    return np.divide(exits, exposure, out=np.zeros_like(exits), where=exposure > 0)


def _tail(stage: VisitCounts) -> tuple[Ints, Floats]:
    """The days before the tail, and its hazards: the last TAIL_EXITS and the days at risk that go with them.

    Of the first day that counts only as many exits as are wanted: it may be the one on which all offers expire.
    """
    at_risk, exits = stage.at_risk.sum(axis=1), stage.exits.sum(axis=2)
    length = (at_risk >= TAIL_RISK).sum(axis=1).astype(np.int64)
    each = exits.sum(axis=1)
    after = each[:, ::-1].cumsum(axis=1)[:, ::-1] - each
    wanted = TAIL_EXITS - after
    part = np.clip(np.divide(wanted, each, out=(wanted > 0).astype(np.float64), where=each > 0), 0.0, 1.0)
    exposure = (at_risk * part).sum(axis=1)[:, None]
    return length, _by_age((exits * part[:, None]).sum(axis=2), np.broadcast_to(exposure, exits.shape[:2]))


def _trust(stage: VisitCounts) -> Floats:
    ended = stage.exits.sum(axis=(1, 2, 3))
    return np.where(ended < PRIOR_DEALS, ended / (ended + PRIOR_DEALS), 1.0)
