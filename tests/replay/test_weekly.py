"""The weekly frames hold what the live queries say of each week, as they said it then."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.calendar import Period, weeks_between
from domain.event import Recorded
from domain.forecast import EVENTUALLY
from domain.recalibration.labels import UNRESOLVED, won_eventually, won_in_period
from domain.recalibration.landmarks import landmarks, microseconds, week_ends
from infra.snapshot import one_snapshot
from projections.engine.running import run_to_head
from projections.forecast_rows import Then, open_rows, then
from projections.playbook import settings_at
from projections.rate_sets import in_force, rate_sets
from tests.projections.conftest import Playground
from tests.replay.conftest import Duck
from tests.strategies import histories, moments_of
from workers.recalibration.reading import histories_of
from workers.replay.running import Asked, run_replay

few = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
MONTHS = frozenset({EVENTUALLY, *(f"2024-{month:02}" for month in range(1, 13))})


@few
@given(log=histories(min_steps=25), data=st.data())
def test_landmarks_are_those_that_recalibration_learns_from(
    playground: Playground, duck: Duck, tmp_path: Path, log: list[Recorded], data: st.DataObject
) -> None:
    cut = data.draw(st.just(log[-1].recorded_at) | moments_of(log))
    playground.holding(log)
    run_to_head(playground.app_url)
    run_replay(playground.app_url, Asked(as_of=cut, known_at=cut, out=tmp_path, range_events=20, processes=1))
    with one_snapshot(playground.app_url, "test") as conn:
        known = histories_of(conn, "sales", cut)
    h, cutoff = known.histories, known.cutoff
    weeks = week_ends(int(h.occurred_at.min()), cutoff, known.tz) if len(h.occurred_at) else []
    rows = landmarks(h, cutoff, weeks)
    eventually = won_eventually(rows, h, cutoff)
    in_period = won_in_period(rows, h, cutoff, known.tz) if known.target.value == "T2" else eventually * 0 - 1
    expected = [
        (
            known.deals[rows.deal[i]],
            int(rows.at[i]),
            h.stages[rows.stage[i]],
            int(rows.entered_at[i]),
            bool(rows.stalled[i]),
            bool(rows.repeat[i]),
            *(None if label[i] == UNRESOLVED else bool(label[i]) for label in (eventually, in_period)),
        )
        for i in range(len(rows))
    ]
    found = [
        (
            UUID(r["deal_id"]),
            microseconds(r["at"]),
            r["stage"],
            microseconds(r["entered_at"]),
            r["stalled"],
            r["repeat"],
            r["won_eventually"],
            r["won_in_period"],
        )
        for r in duck.rows(tmp_path, "landmarks")
    ]
    assert found == sorted(expected)


@few
@given(log=histories(min_steps=30))
def test_forecast_rows_are_what_was_shown_at_the_end_of_each_week(
    playground: Playground, duck: Duck, tmp_path: Path, log: list[Recorded]
) -> None:
    playground.holding(log)
    run_to_head(playground.app_url)
    run_replay(playground.app_url, Asked(out=tmp_path, range_events=20, processes=1))
    found: dict[datetime, list[Any]] = {}
    for row in duck.rows(tmp_path, "forecast_rows"):
        found.setdefault(row["at"], []).append(row)
    for week in weeks_of(playground, log):
        with one_snapshot(playground.app_url, "test") as conn:
            at = then(conn, "sales", week.as_of, week.as_of)
            adopted = in_force(rate_sets(conn, "sales"), week.as_of, week.as_of)
            shown = open_rows(conn, at, MONTHS, at.rates(adopted))
        told = found.pop(week.as_of, [])
        assert {row["week"] for row in told} <= {week.label}
        assert {row["rate_set"] for row in told} <= {adopted.number if adopted else None}
        assert {as_told(row, at) for row in told} == {as_shown(row.deal) for row in shown}
        assert len(told) == len(shown)
    assert not found


def weeks_of(playground: Playground, log: list[Recorded]) -> list[Period]:
    """The weeks that were over when the last event was recorded."""
    last = log[-1].recorded_at
    with one_snapshot(playground.app_url, "test") as conn:
        set_then = settings_at(conn, last, last)
    zone = ZoneInfo(set_then.time_zone) if set_then else UTC
    first = min(e.meta.occurred_at for e in log if e.topic == "deal.opened") if len(log) > 9 else last
    return [week for week in weeks_between(min(first, last), last, zone) if week.as_of <= last]


def as_told(row: dict[str, Any], at: Then) -> tuple[Any, ...]:
    f1 = row["f1"]
    assert f1 == (row["forecast_amount"] if row["month"] and row["forecast_month"] == row["month"] else None)
    f2 = row["f2"]
    assert (f2 is None) == (row["amount"] is None or row["rate"] is None)
    assert f2 is None or f2 == row["amount"] * row["rate"]
    assert at.funnel.dated or row["month"] == EVENTUALLY
    return (
        UUID(row["deal_id"]), row["owner"], row["stage"], row["amount"], row["expected_close"], row["month"],
        row["forecast_month"], row["forecast_amount"], row["rate"],
    )  # fmt: skip


def as_shown(deal: Any) -> tuple[Any, ...]:
    month, amount = (deal.forecast.month, deal.forecast.amount) if deal.forecast else (None, None)
    rate = None if deal.stage_rate is None else Decimal(deal.stage_rate)
    return (
        deal.deal, deal.owner, deal.stage, deal.amount, deal.expected_close, deal.month, month, amount, rate,
    )  # fmt: skip
