"""How right forecasts were equals a slow, obvious recomputation: every week of every month folded anew from the events."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, NamedTuple
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.calendar import Period, parse_month, weeks_between
from domain.event import Recorded
from domain.forecast import Accuracy
from domain.forecast_sight import Sight, Stint
from domain.manager_forecast import DealForecast, ForecastSet, forecast_stream
from domain.organisation import Organisation
from projections.engine.running import run_to_head
from projections.forecast_rows import Then, then
from projections.forecast_weeks import AccuracyRow, forecast_accuracy
from tests.projections.conftest import Playground
from tests.projections.test_forecast import ALL, Slow
from tests.strategies import histories, moments_of

some = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
MONTHS = ("2024-02", "2024-03", "2024-04")


class Part(NamedTuple):
    """What one deal adds: to which team, won already, F1, and F2 or None."""

    deal: UUID
    team: str | None
    won: Fraction | None
    f1: Fraction
    f2: Fraction | None


def parts(slow: Slow, month: str, org: Organisation) -> Iterator[Part]:
    for deal_id, deal in slow.deals():
        team = org.team_of.get(deal.owner) if deal.owner else None
        amount = deal.amount.amount if deal.amount else None
        if deal.status == "won" and slow.won_in(deal_id) == month:
            yield Part(deal_id, team, Fraction(amount or 0), Fraction(0), Fraction(0))
        elif deal.status == "open" and slow.month(deal) == month:
            standing = (slow.state(forecast_stream(deal_id)) or DealForecast()).in_force(deal)
            rate = slow.rate(deal_id, deal)
            f1 = standing.amount.amount if standing and standing.month == month else 0
            f2 = None if amount is None or rate is None else Fraction(amount) * Fraction(rate)
            yield Part(deal_id, team, None, Fraction(f1), f2)


class Shown(NamedTuple):
    """What was shown of some teams so many weeks before the close, and what came."""

    lead: int
    f1: Fraction
    f2: Fraction | None
    actual: Fraction


def shown_of(lead: int, week: list[Part], brought: list[Part]) -> Shown:
    won = sum((part.won for part in week if part.won is not None), Fraction(0))
    still_open = [part for part in week if part.won is None]
    weighed = [part.f2 for part in still_open if part.f2 is not None]
    f2 = None if still_open and not weighed else won + sum(weighed)
    return Shown(
        lead, won + sum(p.f1 for p in week), f2, sum((p.won or Fraction(0) for p in brought), Fraction(0))
    )


Key = tuple[str, str | None]


def recomputed(log: list[Recorded], at: Then) -> dict[Key, list[Shown]]:
    found: dict[Key, list[Shown]] = {("all", None): []}
    for month in (parse_month(label, at.tz) for label in MONTHS):
        if month.end > at.as_of:
            continue
        today = slow_at(log, at, at.as_of, at.known_at)
        closing = slow_at(log, at, month.end - timedelta(microseconds=1), at.known_at).org
        brought = [part for part in parts(today, month.label, closing) if part.won is not None]
        weeks = [(lead_of(week, month, at), parts_at(log, at, week, month)) for week in last_weeks(month, at)]
        teams = {part.team for part in [*brought, *(part for _, week in weeks for part in week)]}
        groups: dict[Key, set[str | None]] = {("all", None): teams}
        for team in teams:
            groups["team", team] = {team}
            groups.setdefault(("manager", boss(closing, team)), set()).add(team)
        for key, members in groups.items():
            for lead, week in weeks:
                ours, came = ([p for p in those if p.team in members] for those in (week, brought))
                found.setdefault(key, []).append(shown_of(lead, ours, came))
    return found


def slow_at(log: list[Recorded], at: Then, as_of: datetime, known_at: datetime | None) -> Slow:
    slow = Slow(log, as_of, known_at)
    slow.tz, slow.dated = at.tz, slow.dated and at.funnel.dated  # months are those of the calendar asked with
    return slow


def last_weeks(month: Period, at: Then) -> list[Period]:
    """Those that end on the last 13 Sundays of the month's last 91 days."""
    close = month.end.astimezone(at.tz).date()
    every = weeks_between(month.end - timedelta(weeks=15), month.end, at.tz)
    return [w for w in every if close - timedelta(days=91) < w.end.astimezone(at.tz).date() <= close]


def lead_of(week: Period, month: Period, at: Then) -> int:
    return (month.end.astimezone(at.tz).date() - week.end.astimezone(at.tz).date()).days // 7


def parts_at(log: list[Recorded], at: Then, week: Period, month: Period) -> list[Part]:
    end = week.end - timedelta(microseconds=1)
    slow = slow_at(log, at, end, end)
    return list(parts(slow, month.label, slow.org))


def boss(org: Organisation, team: str | None) -> str | None:
    while team is not None and org.teams[team].manager is None:
        team = org.teams[team].parent
    return org.teams[team].manager if team is not None else None


def errors(shown: list[tuple[Fraction, Fraction]]) -> tuple[int, Fraction | None, Fraction | None]:
    """How many, bias, WAPE; rounded half-even to four places."""
    actual = sum(came for _, came in shown)
    if not actual:
        return len(shown), None, None
    bias = Fraction(sum(said - came for said, came in shown)) / actual
    wape = Fraction(sum(abs(said - came) for said, came in shown)) / actual
    return len(shown), Fraction(round(bias * 10_000), 10_000), Fraction(round(wape * 10_000), 10_000)


def as_told(accuracy: Any) -> tuple[int, Fraction | None, Fraction | None]:
    assert isinstance(accuracy, Accuracy)
    exact = [None if value is None else Fraction(value) for value in (accuracy.bias, accuracy.wape)]
    return accuracy.snapshots, exact[0], exact[1]


def answered(playground: Playground, at: Then, sight: Sight) -> dict[Key, AccuracyRow]:
    months = [m for m in (parse_month(label, at.tz) for label in MONTHS) if m.end <= at.as_of]
    with playground.connected() as conn:
        return {(row.kind, row.key): row for row in forecast_accuracy(conn, at, months, sight).groups}


@some
@given(log=histories(min_steps=25), data=st.data())
def test_accuracy_is_what_every_week_folded_anew_comes_to(
    playground: Playground, log: list[Recorded], data: st.DataObject
) -> None:
    playground.holding(log)
    run_to_head(playground.app_url)
    late = log[-1].recorded_at + timedelta(days=90)
    as_of, known_at = data.draw(moments_of(log) | st.just(late)), data.draw(st.none() | moments_of(log))
    with playground.connected() as conn:
        at = then(conn, "sales", as_of, known_at)
    if not at.funnel.dated:
        return
    told, slow = answered(playground, at, ALL), recomputed(log, at)
    assert {key for key, row in told.items() if row.f2.snapshots or (row.f1 and row.f1.snapshots)} == {
        key for key, shown in slow.items() if shown
    }
    for key, shown in slow.items():
        row = told[key]
        with_f2 = [each for each in shown if each.f2 is not None]
        assert as_told(row.f1) == errors([(s.f1, s.actual) for s in shown])
        assert as_told(row.f2) == errors([(s.f2, s.actual) for s in with_f2 if s.f2 is not None])
        for lead in row.f1_by_lead or ():
            of_lead = [s for s in shown if s.lead == lead.weeks_before_close]
            assert as_told(lead.accuracy) == errors([(s.f1, s.actual) for s in of_lead])
        for lead in row.f2_by_lead:
            of_lead = [s for s in with_f2 if s.lead == lead.weeks_before_close]
            assert as_told(lead.accuracy) == errors([(s.f2, s.actual) for s in of_lead if s.f2 is not None])


def month_of(e: Recorded) -> str:
    return str(e.event.forecast.month if isinstance(e.event, ForecastSet) else e.event.previous.month)


@some
@given(log=histories(min_steps=25))
def test_changes_are_the_events_of_forecasts_and_the_late_ones_among_them(
    playground: Playground, log: list[Recorded]
) -> None:
    playground.holding(log)
    run_to_head(playground.app_url)
    late = log[-1].recorded_at + timedelta(days=90)
    with playground.connected() as conn:
        at = then(conn, "sales", late, None)
    if not at.funnel.dated:
        return
    ends = {label: parse_month(label, at.tz).end for label in MONTHS}
    changes = [(e, month_of(e)) for e in log if e.topic.startswith("forecast.") and month_of(e) in ends]
    last = [
        e for e, month in changes if max(e.meta.occurred_at, e.known_at) >= ends[month] - timedelta(days=7)
    ]
    row = answered(playground, at, ALL)["all", None]
    assert (row.changes, row.changes_in_last_week) == (len(changes), len(last))


@some
@given(log=histories(min_steps=25), data=st.data())
def test_no_accuracy_of_f1_holds_a_deal_on_whose_team_the_viewer_works(
    playground: Playground, log: list[Recorded], data: st.DataObject
) -> None:
    """And what holds none is told in full."""
    playground.holding(log)
    run_to_head(playground.app_url)
    late = log[-1].recorded_at + timedelta(days=90)
    hidden = data.draw(st.sampled_from(sorted({e.stream_id for e in log if e.topic == "deal.opened"})))
    with playground.connected() as conn:
        at = then(conn, "sales", late, None)
    if not at.funnel.dated:
        return
    began = log[0].recorded_at
    working = Sight(any=True, owners=None, stints={hidden: (Stint(hidden, began, None, began, None),)})
    full, seen = answered(playground, at, ALL), answered(playground, at, working)
    for month in (parse_month(label, at.tz) for label in MONTHS):
        if month.end > late:
            continue
        closing = slow_at(log, at, month.end - timedelta(microseconds=1), None).org
        for week in last_weeks(month, at):
            for part in parts_at(log, at, week, month):
                if part.deal == hidden and part.won is None:
                    of_it: list[Key] = [
                        ("all", None),
                        ("team", part.team),
                        ("manager", boss(closing, part.team)),
                    ]
                    assert [seen[key].f1 for key in of_it] == [None] * 3
    assert {key: row.f1 for key, row in seen.items() if row.f1 is not None} == {
        key: full[key].f1 for key, row in seen.items() if row.f1 is not None
    }
