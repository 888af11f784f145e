"""Running the pipeline: four states of an open deal (B3), the dwell alert (S2), cohort conversion (B4).

Ages, durations and cycles are whole microseconds, days and weeks of ages and cycles are elapsed ones (24
hours, 7 times 24 hours).
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Literal

import msgspec

from domain.dwell import KaplanMeier, mean
from domain.exact import rounded

_MICROSECOND = timedelta(microseconds=1)
_DAY = timedelta(days=1) // _MICROSECOND
_WEEK = 7 * _DAY


# --- Four states (B3) ---------------------------------------------------------------------------------

AgeState = Literal["entered", "stalled", "pending_loss"]
State = Literal["entered", "stalled", "pending_loss", "pending_advance"]


class DealState(msgspec.Struct, frozen=True):
    """The state of an open deal, and the one that its age alone gives, which a done checklist would hide."""

    state: State
    age_state: AgeState


def state_of(
    age: int, stall_after_days: int, lose_after_days: int | None = None, required_open: int | None = None
) -> DealState:
    """The state of a deal by the age of its open visit in microseconds.

    `lose_after_days` defaults to twice `stall_after_days`. `required_open` is the number of required items of
    the stage's checklist not ticked yet, None where the stage has no checklist. A checklist of which no item
    is required holds nothing back, so the deal may advance from the start (ours).
    """
    lose_after = 2 * stall_after_days if lose_after_days is None else lose_after_days
    age_state: AgeState
    if age <= stall_after_days * _DAY:
        age_state = "entered"
    elif age <= lose_after * _DAY:
        age_state = "stalled"
    else:
        age_state = "pending_loss"
    return DealState("pending_advance" if required_open == 0 else age_state, age_state)


class Flow(msgspec.Struct, frozen=True):
    """How many deals went from one state to another; None is not open: opened since, or closed since."""

    before: State | None
    after: State | None
    deals: int


def flow(before: Mapping[str, State], after: Mapping[str, State]) -> tuple[Flow, ...]:
    """The flow between the states of the deals open at two moments, such as the ends of two weeks.

    Both map a deal's id to its state; deals that stayed in theirs are a row, too. A deal that closed and was
    reopened in between shows as open all along, one opened and closed in between not at all.
    """
    moves = Counter((before.get(deal), after.get(deal)) for deal in {*before, *after})
    ordered = sorted(moves.items(), key=lambda move: (move[0][0] or "", move[0][1] or ""))
    return tuple(Flow(origin, destination, deals) for (origin, destination), deals in ordered)


# --- Dwell alert (S2) ---------------------------------------------------------------------------------

TRAILING_DAYS = 365
"""Visits completed in so many days up to T make the norm."""
ENOUGH_VISITS = 10
"""With fewer completed visits their mean says little, and the stage's `stall_after_days` is the norm."""


SHARE_PLACES = 4
"""Shares are rounded half-even to so many places."""


class Norm(msgspec.Struct, frozen=True):
    """How long visits of one funnel, stage and grade group are expected to last.

    `norm` is the mean of the `visits` completed ones, or `stall_after_days`, as `source` says. The
    Kaplan-Meier estimate counts the visits still open as well.
    """

    norm: int
    source: Literal["mean", "stall_after_days"]
    visits: int
    kaplan_meier: KaplanMeier
    kaplan_meier_p75: int | None


class DwellAlert(msgspec.Struct, frozen=True):
    """An open visit that lasts longer than its norm; microseconds.

    `kaplan_meier_percentile` is the estimated share of visits, 0 to 1 in 4 places, that are over by this age. `in_default`
    says whether the alert is in the default list; the full list holds every alert.
    """

    age: int
    norm: int
    norm_source: Literal["mean", "stall_after_days"]
    visits: int
    kaplan_meier_percentile: float
    kaplan_meier_p75: int | None
    in_default: bool
    formula: str = "dwell_alert/1"


def norm_of(completed: Sequence[int], open_ages: Sequence[int], stall_after_days: int) -> Norm:
    """The norm of one funnel, stage and grade group at T; computed once for all its open visits.

    `completed` are the durations of the visits completed in the 365 days up to T, `open_ages` the ages at T of
    all open ones, in any order. Raises ValueError for a negative one.
    """
    survival = KaplanMeier(completed, open_ages)
    average = mean(completed) if len(completed) >= ENOUGH_VISITS else None
    return Norm(
        norm=stall_after_days * _DAY if average is None else average,
        source="stall_after_days" if average is None else "mean",
        visits=len(completed),
        kaplan_meier=survival,
        kaplan_meier_p75=survival.p75,
    )


def alert_after(norm: Norm, *, default: bool) -> int | None:
    """The age in microseconds beyond which there is an alert, of the default list or any; None where there never is."""
    if not default:
        return norm.norm
    if norm.kaplan_meier_p75 is None:
        return norm.norm if norm.source == "stall_after_days" else None
    return max(norm.norm, norm.kaplan_meier_p75)


def dwell_alert(age: int, norm: Norm) -> DwellAlert | None:
    """The alert on an open visit of this age, or None while it is within its norm.

    Instant passes make a mean small, so the default list holds the alerts above the Kaplan-Meier p75. Where
    there is no p75, an alert by the mean stays out of it, since so many visits last that long; one by
    `stall_after_days` is in, since no mean misled it and a young log would show nothing otherwise (ours).
    """
    if age <= norm.norm:
        return None
    p75 = norm.kaplan_meier_p75
    return DwellAlert(
        age=age,
        norm=norm.norm,
        norm_source=norm.source,
        visits=norm.visits,
        kaplan_meier_percentile=round(norm.kaplan_meier.percentile_of(age), SHARE_PLACES),
        kaplan_meier_p75=p75,
        in_default=norm.source == "stall_after_days" if p75 is None else age > p75,
    )


# --- Cohort conversion (B4) ---------------------------------------------------------------------------

ENOUGH_WINS = 5


class Window(msgspec.Struct, frozen=True):
    """How many weeks of openings make a cohort, and whether wins or a configured default said so."""

    weeks: int
    source: Literal["median_cycle", "default"]
    wins: int


class CohortDeal(msgspec.Struct, frozen=True):
    """A deal as of T: when opened, the stages it ever entered (the first included), when won, if still open.

    `won_at` is None for a deal that is not won at T, also one reopened after a win.
    """

    opened_at: datetime
    entered: Collection[str]
    won_at: datetime | None = None
    open: bool = True


class StageConversion(msgspec.Struct, frozen=True):
    """How far a cohort came: deals that entered this stage or a later one, or won.

    `share` is of the cohort, `step` of those that reached the stage before (None for the first stage), both in
    4 places and None of nothing. `skipped` of the deals reached it only in that they went past it.
    """

    stage: str
    reached: int
    share: Decimal | None
    step: Decimal | None
    skipped: int


class Cohort(msgspec.Struct, frozen=True):
    """The deals opened after `start` and up to `end`, and how they have converted by T.

    `immature`: some of the window is younger than the window is long, so that its deals have not had the time
    of a usual cycle. `open_deals` may still convert. `won_step` is of those that reached the last stage.
    """

    start: datetime
    end: datetime
    immature: bool
    deals: int
    open_deals: int
    stages: tuple[StageConversion, ...]
    won: int
    won_share: Decimal | None
    won_step: Decimal | None


class Conversion(msgspec.Struct, frozen=True):
    """The cohort of the window that ends at T, and beside it the one before, which is mature."""

    window: Window
    current: Cohort
    previous: Cohort
    formula: str = "cohort/1"


def window_of(won_cycles: Sequence[int], default_weeks: int) -> Window:
    """1.2 times the median cycle in weeks, rounded up, at least one; by default with fewer than 5 wins.

    `won_cycles` are the times from opened to won of the deals won in the trailing 12 months, in any order.
    """
    wins = len(won_cycles)
    if wins < ENOUGH_WINS:
        return Window(default_weeks, "default", wins)
    ranked = sorted(won_cycles)
    twice_the_median = ranked[(wins - 1) // 2] + ranked[wins // 2]
    weeks = -(-6 * twice_the_median // (5 * 2 * _WEEK))
    return Window(max(1, weeks), "median_cycle", wins)


def conversion(
    deals: Sequence[CohortDeal],
    stages: Sequence[str],
    at: datetime,
    tz: tzinfo,
    default_weeks: int,
) -> Conversion:
    """Cohort conversion of one funnel at T = `at`, from all its deals opened by then, in any order.

    `stages` are the funnel's, in order; a stage a deal entered that is no longer among them counts for
    nothing. Windows go back by the local clock of `tz`, so that they begin at the local time at which they
    end, and a year is the same date a year earlier.
    """
    year_ago = _year_before(at, tz)
    cycles = [
        (deal.won_at - deal.opened_at) // _MICROSECOND
        for deal in deals
        if deal.won_at is not None and year_ago < deal.won_at <= at
    ]
    window = window_of(cycles, default_weeks)
    start, earlier = (_weeks_before(at, n * window.weeks, tz) for n in (1, 2))
    return Conversion(
        window=window,
        current=_cohort(deals, stages, start, at, mature_until=start),
        previous=_cohort(deals, stages, earlier, start, mature_until=start),
    )


def _cohort(
    deals: Sequence[CohortDeal], stages: Sequence[str], start: datetime, end: datetime, mature_until: datetime
) -> Cohort:
    cohort = [deal for deal in deals if start < deal.opened_at <= end]
    won = sum(deal.won_at is not None for deal in cohort)
    reached, skipped = [0] * len(stages), [0] * len(stages)
    for deal in cohort:
        inside = [i for i, stage in enumerate(stages) if stage in deal.entered]
        furthest = len(stages) if deal.won_at is not None else max(inside, default=-1) + 1
        for i in range(furthest):
            reached[i] += 1
            skipped[i] += i not in inside
    return Cohort(
        start=start,
        end=end,
        immature=end > mature_until,
        deals=len(cohort),
        open_deals=sum(deal.open for deal in cohort),
        stages=tuple(
            StageConversion(
                stage=stage,
                reached=reached[i],
                share=_share(reached[i], len(cohort)),
                step=_share(reached[i], reached[i - 1]) if i else None,
                skipped=skipped[i],
            )
            for i, stage in enumerate(stages)
        ),
        won=won,
        won_share=_share(won, len(cohort)),
        won_step=_share(won, reached[-1]) if stages else None,
    )


def _share(part: int, whole: int) -> Decimal | None:
    return rounded(Fraction(part, whole), SHARE_PLACES) if whole else None


def _weeks_before(instant: datetime, weeks: int, tz: tzinfo) -> datetime:
    # Arithmetic on a local time keeps its wall clock.
    return (instant.astimezone(tz) - timedelta(weeks=weeks)).astimezone(UTC)


def _year_before(instant: datetime, tz: tzinfo) -> datetime:
    local = instant.astimezone(tz)
    day = 28 if (local.month, local.day) == (2, 29) else local.day
    return local.replace(year=local.year - 1, day=day).astimezone(UTC)
