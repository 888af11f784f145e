"""Win rate of a deal (A9) by comparison with its competitors, rolled up over deals, and the alert on a fall.

Formula `share/1` is ours, after the competitor comparison method: the source says what to compare, not how
to reckon.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Literal

import msgspec

from domain.exact import rounded, total

FORMULA = "share/1"
PLACES = 4
BEST_RANKS = 3
RIVALS_COUNTED = 2
NO_DECISION_STRENGTH = Decimal(2)
MAX_FACTOR = Decimal("0.7")
"""Largest, and default, factor for deals in which we have no inside source."""

Status = Literal["computed", "not_in_top_three", "not_computed"]
Gate = Literal[
    "no_compelling_event", "missing_assessment", "not_in_top_three", "no_strength", "no_inside_source"
]
RivalKind = Literal["competitor", "unknown_rival", "no_decision"]


class Assessment(msgspec.Struct, frozen=True):
    """How well a party meets the need and how close it is to the customer, 0 to 10; None is unknown."""

    need_fit: Decimal | None = None
    relationship: Decimal | None = None


class Competitor(msgspec.Struct, frozen=True):
    """An active competitor of the deal. One that dropped out is not given."""

    key: str
    assessment: Assessment = Assessment()


class Comparison(msgspec.Struct, frozen=True):
    """Everything a win rate is computed from. `competitors` holds every active one, assessed or not."""

    compelling_event: bool
    us: Assessment
    competitors: tuple[Competitor, ...] = ()
    sole_source: bool = False
    inside_source: bool = False
    no_inside_source_factor: Decimal = MAX_FACTOR


class Variant(msgspec.Struct, frozen=True):
    """Other rules than those of the formula, for a what-if: each number in the place of the formula's own.

    `without` are gates that are not applied, as if their conditions never held; without an assessment or any strength
    there is nothing to compute, whatever the gates. `factor` takes the place of the inputs' no-inside-source factor.
    """

    without: frozenset[Gate] = frozenset()
    best_ranks: int = BEST_RANKS
    rivals_counted: int = RIVALS_COUNTED
    no_decision_strength: Decimal = NO_DECISION_STRENGTH
    factor: Decimal | None = None


AS_DEFINED = Variant()


class Rival(msgspec.Struct, frozen=True):
    """Somebody we share the chance with; `key` names a competitor. Strength 0 to 10, rounded to 4 places."""

    kind: RivalKind
    strength: Decimal
    key: str | None = None


class WinRate(msgspec.Struct, frozen=True):
    """A win rate, 0 to 1 in 4 places, or None with the reason; and what it was made of.

    `gates` lists every gate whose condition holds, in the order of the formula; the first that decides makes
    the status, the others say what would come next. `rank` is ours among the assessed parties, 1 the best.
    `strength` and `rank` are None while we are not assessed.
    """

    status: Status
    value: Decimal | None
    gates: tuple[Gate, ...]
    strength: Decimal | None
    rank: int | None
    rivals: tuple[Rival, ...]
    inputs: Comparison
    formula: str = FORMULA


def win_rate(comparison: Comparison, variant: Variant = AS_DEFINED) -> WinRate:
    """The win rate of a deal by formula `share/1`, or by a variant of it, which the formula's name then says.

    A competitor of whom something is unknown is not assessed: it neither ranks nor counts as a rival. Of
    equally strong rivals the one whose key sorts first is named; the value is the same.

    Raises ValueError for a score outside 0 to 10, a factor outside 0 < f <= 0.7, a competitor given twice, and
    a sole source confirmed while competitors are active.
    """
    if variant.factor is not None:
        comparison = msgspec.structs.replace(comparison, no_inside_source_factor=variant.factor)
    _check(comparison)
    ours = _strength(comparison.us)
    assessed = [(s, c.key) for c in comparison.competitors if (s := _strength(c.assessment)) is not None]
    rank = None if ours is None else 1 + sum(theirs > ours for theirs, _ in assessed)
    rivals = _rivals(comparison, ours, sorted(assessed, key=lambda rival: (-rival[0], rival[1])), variant)
    against = sum((strength for _, strength, _ in rivals), Fraction(0))

    gates: list[Gate] = []
    if not comparison.compelling_event:
        gates.append("no_compelling_event")
    if ours is None:
        gates.append("missing_assessment")
    if rank is not None and rank > variant.best_ranks:
        gates.append("not_in_top_three")
    if ours is not None and ours + against == 0:
        gates.append("no_strength")
    if not comparison.inside_source:
        gates.append("no_inside_source")
    gates = [gate for gate in gates if gate not in variant.without or gate in _NOTHING_TO_COMPUTE]

    status, value = _decide(gates, ours, against, comparison.no_inside_source_factor)
    return WinRate(
        status=status,
        value=value,
        gates=tuple(gates),
        strength=None if ours is None else rounded(ours, PLACES),
        rank=rank,
        rivals=tuple(Rival(kind, rounded(strength, PLACES), key) for kind, strength, key in rivals),
        inputs=comparison,
        formula=FORMULA if variant == AS_DEFINED else f"{FORMULA} varied",
    )


_NOTHING_TO_COMPUTE: frozenset[Gate] = frozenset({"missing_assessment", "no_strength"})


def _decide(
    gates: Sequence[Gate], ours: Fraction | None, against: Fraction, factor: Decimal
) -> tuple[Status, Decimal | None]:
    if ours is None or "no_compelling_event" in gates:
        return "not_computed", None
    if "not_in_top_three" in gates:
        return "not_in_top_three", rounded(Fraction(0), PLACES)
    if "no_strength" in gates:
        return "not_computed", None
    share = ours / (ours + against)
    if "no_inside_source" in gates:
        share *= Fraction(factor)
    return "computed", rounded(share, PLACES)


def _rivals(
    comparison: Comparison,
    ours: Fraction | None,
    strongest_first: Sequence[tuple[Fraction, str]],
    variant: Variant,
) -> list[tuple[RivalKind, Fraction, str | None]]:
    if comparison.sole_source:
        return [("no_decision", Fraction(variant.no_decision_strength), None)]
    if strongest_first:
        return [("competitor", strength, key) for strength, key in strongest_first[: variant.rivals_counted]]
    return [] if ours is None else [("unknown_rival", ours, None)]


def _strength(party: Assessment) -> Fraction | None:
    if party.need_fit is None or party.relationship is None:
        return None
    return (Fraction(party.need_fit) + Fraction(party.relationship)) / 2


def _check(comparison: Comparison) -> None:
    parties = [comparison.us, *(c.assessment for c in comparison.competitors)]
    for score in (score for party in parties for score in (party.need_fit, party.relationship)):
        if score is not None and not (score.is_finite() and 0 <= score <= 10):
            raise ValueError(f"a score must lie between 0 and 10, not {score}")
    factor = comparison.no_inside_source_factor
    if not (factor.is_finite() and 0 < factor <= MAX_FACTOR):
        raise ValueError(
            f"the factor without an inside source must be above 0 and at most {MAX_FACTOR}, not {factor}"
        )
    if len({c.key for c in comparison.competitors}) < len(comparison.competitors):
        raise ValueError("a competitor is given twice")
    if comparison.sole_source and comparison.competitors:
        raise ValueError("a sole source cannot be confirmed while competitors are active")


class RatedDeal(msgspec.Struct, frozen=True):
    """A deal of a roll-up: its amount, None if unknown, and its win rate, None if not computed."""

    amount: Decimal | None
    win_rate: Decimal | None


class RollUp(msgspec.Struct, frozen=True):
    """Win rates of several deals: how many have a number (zeros included), their mean, how many have none.

    `mean` is weighted by amount and rounded to 4 places; None where nothing can weigh. A deal with a number
    and no known amount counts in `with_number` and `without_amount` and weighs nothing (ours).
    """

    with_number: int
    mean: Decimal | None
    amount: Decimal
    without_amount: int
    not_computed: int
    formula: str = FORMULA


def roll_up(deals: Iterable[RatedDeal]) -> RollUp:
    """Roll win rates up over deals, given in any order."""
    rows = list(deals)
    weighed = [(d.amount, d.win_rate) for d in rows if d.amount is not None and d.win_rate is not None]
    amount = total(weight for weight, _ in weighed)
    won = sum((Fraction(weight) * Fraction(rate) for weight, rate in weighed), Fraction(0))
    with_number = sum(d.win_rate is not None for d in rows)
    return RollUp(
        with_number=with_number,
        mean=rounded(won / Fraction(amount), PLACES) if amount else None,
        amount=amount,
        without_amount=with_number - len(weighed),
        not_computed=len(rows) - with_number,
    )


DROP = Decimal("0.15")
DROP_WITHIN = timedelta(days=14)


class Change(msgspec.Struct, frozen=True):
    """A win rate that came into force at a moment; None when from then on none was computed."""

    at: datetime
    value: Decimal | None


class Drop(msgspec.Struct, frozen=True):
    """An alert: the win rate in force now, since when, and the highest of the last two weeks, since when."""

    before: Decimal
    before_since: datetime
    now: Decimal
    now_since: datetime
    fall: Decimal
    formula: str = "drop/1"


def drop(changes: Sequence[Change], at: datetime) -> Drop | None:
    """The fall of 0.15 or more within two weeks that stands at the moment `at`, or None.

    The number in force at `at` is compared with the highest in force at any moment of the 14 times 24 hours up
    to it, wherever that one came from; so the alert stands until the fall is two weeks old or made good.
    Stretches without a number are passed over, and while there is none now there is no alert: "not computed"
    is shown as itself (ours).

    `changes` are in order; of several at one moment the last is in force.
    """
    past = changes[: bisect_right(changes, at, key=lambda change: change.at)]
    if not past or past[-1].value is None:
        return None
    # What was in force when the two weeks began counts, however long before it was set.
    first = max(bisect_right(past, at - DROP_WITHIN, key=lambda change: change.at) - 1, 0)
    in_force = {change.at: change.value for change in past[first:]}
    before, before_since = max((value, since) for since, value in in_force.items() if value is not None)
    now = past[-1].value
    if before - now < DROP:
        return None
    return Drop(before, before_since, now, past[-1].at, before - now)
