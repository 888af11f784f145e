"""How a rate set has done since it was adopted: an obvious recomputation, and answers where nothing can be said."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from hypothesis import given

from domain.calendar import parse_month, weeks_between
from domain.deal import DealLost, DealOpened, DealWon
from domain.event import Recorded
from domain.exact import rounded
from domain.money import Money, plain
from domain.playbook import STREAM_ID, Evidence, RateSetAdopted, StageRate
from projections.engine.running import run_to_head
from projections.rate_set_history import RateSetInHistory, rate_set_history
from tests.projections.conftest import Playground
from tests.projections.test_forecast import Slow, few
from tests.projections.written_log import Fact, playbook, recorded, stage
from tests.strategies import histories

NOW = datetime(2024, 7, 1, tzinfo=UTC)


def history_of(playground: Playground, log: list[Recorded], now: datetime) -> list[RateSetInHistory]:
    playground.holding(log)
    run_to_head(playground.app_url)
    with playground.connected() as conn:
        return rate_set_history(conn, "sales", now)


def slowly(log: list[Recorded], now: datetime) -> dict[int, dict[str, object]]:
    """Per set in force at any week's end: its figures, from the events that were known at each of those."""
    end = Slow(log, now, None)
    fate, tz = dict(end.deals()), end.tz
    weeks: Counter[int] = Counter()
    rows: dict[int, list[tuple[datetime, UUID, Fraction | None, Fraction, bool | None]]] = {}
    first = min((s.effective_from for s in end.sets), default=now)
    for week in weeks_between(first, now, tz) if first < now else []:
        then = Slow(log, week.as_of, week.as_of)
        begun = [s for s in then.sets if s.effective_from <= week.as_of]
        if not begun or week.as_of > now:
            continue
        number = max(begun, key=lambda s: (s.effective_from, s.number)).number
        weeks[number] += 1
        for deal_id, deal in then.deals():
            if deal.status != "open" or deal_id not in fate or (end.dated and deal.expected_close is None):
                continue
            amount = Fraction(deal.amount.amount) if deal.amount else Fraction(0)
            rate = then.rate(deal_id, deal)
            won: bool | None = fate[deal_id].status == "won"
            if end.dated:
                month = f"{deal.expected_close:%Y-%m}"
                won = won and end.won_in(deal_id) == month
                over = parse_month(month, tz).end <= now
            else:
                over = False
            if fate[deal_id].status == "open":
                won = False if over else None
            f2 = None if rate is None else amount * Fraction(rate)
            rows.setdefault(number, []).append((week.as_of, deal_id, f2, amount, won))
    return {number: _figures(count, rows.get(number, [])) for number, count in weeks.items()}


def _figures(
    weeks: int, rows: list[tuple[datetime, UUID, Fraction | None, Fraction, bool | None]]
) -> dict[str, object]:
    rated = [(at, deal, f2, amount, won) for at, deal, f2, amount, won in rows if f2 is not None]
    resolved = [row for row in rated if row[4] is not None]
    f2, actual = sum(row[2] for row in resolved), sum(row[3] for row in resolved if row[4])
    missed = sum(
        abs(sum(row[2] - (row[3] if row[4] else 0) for row in resolved if row[0] == at))
        for at in {row[0] for row in resolved}
    )
    return {
        "weeks": weeks,
        "rows": len(rated),
        "deals": len({row[1] for row in rated}),
        "unrated": len(rows) - len(rated),
        "unresolved": rounded(Fraction(len(rated) - len(resolved), len(rated)), 4) if rated else None,
        "f2": plain(rounded(Fraction(f2), 2)) if resolved else None,
        "actual": plain(rounded(Fraction(actual), 2)) if resolved else None,
        "bias": rounded(Fraction(f2) / actual - 1, 4) if actual else None,
        "wape": rounded(Fraction(missed) / actual, 4) if actual else None,
    }


@few
@given(log=histories(min_steps=25))
def test_it_is_what_was_forecast_at_each_week_end_against_what_became_of_it(
    playground: Playground, log: list[Recorded]
) -> None:
    now = log[-1].recorded_at + timedelta(days=12)
    found = {one.number: one for one in history_of(playground, log, now)}
    expected = slowly(log, now)
    for number, figures in expected.items():
        since = found[number].since
        assert {name: getattr(since, name) for name in figures} == figures
        assert (since.bias is None) == (since.reason is not None)
    assert all(one.since.weeks == 0 for number, one in found.items() if number not in expected)


def adopted(number: int, effective_from: datetime, rate: str, evidence: Evidence | None = None) -> Fact:
    rates = (StageRate("lead", None, Decimal(rate)),)
    event = RateSetAdopted(UUID(int=number), "sales", number, effective_from, rates, evidence, "Because.")
    return Fact(STREAM_ID, event, effective_from, effective_from)


def deal(number: int, opened: datetime, amount: int, end: tuple[type, datetime] | None) -> list[Fact]:
    at = UUID(int=1000 + number)
    facts = [Fact(at, DealOpened("sales", "lead", amount=Money(Decimal(amount), "EUR")), opened, opened)]
    if end is not None:
        kind, when = end
        facts.append(Fact(at, kind("lead") if kind is DealWon else kind("lead", "price"), when, when))
    return facts


def company(*facts: Fact) -> list[Recorded]:
    return recorded(sorted([*playbook("sales", [stage("lead")]), *facts], key=lambda f: f.recorded_at))


def test_a_set_is_judged_by_the_weeks_in_which_it_was_in_force(playground: Playground) -> None:
    begin, middle = datetime(2024, 6, 3, tzinfo=UTC), datetime(2024, 6, 12, tzinfo=UTC)
    proven = Evidence(UUID(int=7), "0" * 64, "landmark/1")
    one, two = history_of(
        playground,
        company(
            *deal(1, begin, 1000, (DealWon, middle - timedelta(days=1))),  # open at the end of the first week
            *deal(2, begin, 500, (DealLost, NOW - timedelta(days=5))),  # and of the two after it
            adopted(1, begin, "0.5"),
            adopted(2, middle, "0.25", proven),
        ),
        NOW,
    )
    assert (one.effective_to, one.basis, two.effective_to, two.basis) == (middle, "hand", None, "evidence")
    assert (one.since.weeks, one.since.f2, one.since.actual) == (1, "750", "1000")
    assert (one.since.bias, one.since.wape) == (Decimal("-0.2500"), Decimal("0.2500"))
    assert (two.since.weeks, two.since.rows, two.since.deals, two.since.unresolved) == (3, 2, 1, Decimal(0))
    assert (two.since.f2, two.since.actual) == ("250", "0")
    assert two.since.reason == (
        "Of what has resolved nothing was won, so there is nothing to measure a bias by."
    )


def test_nothing_is_said_before_anything_has_an_outcome(playground: Playground) -> None:
    begin = datetime(2024, 6, 3, tzinfo=UTC)
    one, two, three = history_of(
        playground,
        company(
            *deal(1, begin, 1000, None),
            adopted(1, begin, "0.5"),
            adopted(2, NOW + timedelta(hours=1), "0.4"),
            Fact(
                STREAM_ID,
                adopted(3, NOW + timedelta(days=9), "0.3").event,
                NOW - timedelta(1),
                NOW - timedelta(1),
            ),
        ),
        NOW + timedelta(hours=3),
    )
    assert (one.since.unresolved, one.since.f2, one.since.bias) == (Decimal(1), None, None)
    assert one.since.f2_unresolved == plain(Decimal(one.since.rows * 500))
    assert one.since.reason == "Of the deals that were open then none has an outcome yet."
    assert two.since.reason == "No week has ended while it was in force."
    assert three.since.reason == "It is not in force yet."
