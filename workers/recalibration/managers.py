"""What managers forecast for the open deals of a funnel at week ends, as known then: what `f1_match/1` learns from."""

from typing import Any

import numpy as np
from psycopg import Connection, sql

from domain.forecast import EVENTUALLY
from domain.recalibration.columns import FOREVER, Floats
from domain.recalibration.labels import Target
from domain.recalibration.landmarks import Landmarks
from domain.recalibration.matching import ForecastMatch
from projections.forecasts import PROJECTION as FORECASTS
from projections.funnel import PROJECTION as FUNNEL
from workers.recalibration.reading import Known

# A forecast is in force from when it was set and known until the next one was, or until its deal was closed: closing
# raises closed_times. Amounts are thousandths, months counted as in Histories.
_FORECASTS = sql.SQL("""
SELECT f.deal_id,
       CASE WHEN f.month <> %(eventually)s
            THEN (substr(f.month, 1, 4)::int * 12 + substr(f.month, 6, 2)::int - 1)::bigint END,
       trunc(f.amount * 1000)::bigint,
       {begins}, {next}, {closed}
FROM {forecasts} f
WHERE f.occurred_at <= %(until)s AND f.known_at <= %(until)s
  AND EXISTS (SELECT FROM {deals} d WHERE d.deal_id = f.deal_id AND d.funnel = %(funnel)s)
ORDER BY f.deal_id, f.seq""")
_CLOSED = sql.SQL(
    "(SELECT min(greatest(d.occurred_at, d.known_at)) FROM {deals} d"
    " WHERE d.deal_id = f.deal_id AND d.closed_times > f.closed_times)"
)
_MICROSECONDS = sql.SQL("(extract(epoch FROM {}) * 1000000)::bigint")


def forecast_match(conn: Connection[Any], known: Known, rows: Landmarks) -> ForecastMatch:
    """The candidate, with those of the landmark rows that had a forecast in force: of a dated funnel one for the
    row's own month, since any other waits to be confirmed again."""
    number = {deal: index for index, deal in enumerate(known.deals)}
    deals = FUNNEL.view("deal_states")
    times = {
        "begins": sql.SQL("greatest(f.occurred_at, f.known_at)"),
        "next": sql.SQL("greatest(f.next_occurred_at, f.next_known_at)"),
        "closed": _CLOSED.format(deals=deals),
    }
    query = _FORECASTS.format(
        forecasts=FORECASTS.view("set_forecasts"),
        deals=deals,
        **{name: _MICROSECONDS.format(instant) for name, instant in times.items()},
    )
    found = conn.execute(
        query, {"funnel": known.funnel, "until": known.until, "eventually": EVENTUALLY}
    ).fetchall()
    told = [(number[deal], *rest) for deal, *rest in found if deal in number]
    forecast = _in_force(rows, told, known.target) / 10 ** (3 - known.decimals)
    has = ~np.isnan(forecast)
    return ForecastMatch(rows.where(has), forecast[has])


def _in_force(rows: Landmarks, told: list[tuple[Any, ...]], target: Target) -> Floats:
    """Per row what its forecast says, thousandths; `told`: deal, month, thousandths, begins, next, closed."""
    amount = np.full(len(rows), np.nan)
    order = np.argsort(rows.deal, kind="stable")
    deals = rows.deal[order]
    for deal, month, thousandths, begins, following, closed in told:
        here = order[np.searchsorted(deals, deal) : np.searchsorted(deals, deal, "right")]
        ends = min(following or FOREVER, closed or FOREVER)
        here = here[(rows.at[here] >= begins) & (rows.at[here] < ends)]
        if target is Target.IN_PERIOD:
            here = here[rows.close_month[here] == month]
        amount[here] = thousandths
    return amount
