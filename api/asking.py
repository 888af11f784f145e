"""Every query as a route of its own: parameters checked, asked on a reading connection, answered as bytes."""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple, get_type_hints
from urllib.parse import unquote_to_bytes

from starlette.requests import Request
from starlette.responses import Response

from api import (
    forecasts,
    queries,
    queries_people,
    queries_playbook,
    queries_sales,
    queries_system,
    recalibrations,
)
from api import params as p
from api.actor import verified_actor
from api.asked import params_of, takes_viewer
from api.body import checked_params
from api.knowledge import answer_to, answered
from api.refusals import InvalidParameters, NotYetVisible
from api.waiting import may_wait, with_waiting
from api.what_if import what_if
from domain.event import Actor
from infra.readers import Readers

PATIENCE = 2.0
"""Seconds for which a query waits to reflect `min_position`."""
PAUSE = 0.025


class QueryRoute(NamedTuple):
    """Where a query lives; `{names}` in the path are fields of its parameters."""

    path: str
    query: Callable[..., Any]

    @property
    def name(self) -> str:
        """What the query is called."""
        return self.query.__name__.replace("_", "-")

    @property
    def params(self) -> type[p.Params]:
        """What may be asked."""
        return params_of(self.query)

    @property
    def by_viewer(self) -> bool:
        """Whether the answer depends on who asks."""
        return takes_viewer(self.query)

    @property
    def answer(self) -> Any:
        """The struct that is answered."""
        return may_wait(answered(get_type_hints(self.query)["return"], self.params), self.params)


ROUTES = (
    QueryRoute("/v1/playbook", queries_playbook.playbook),
    QueryRoute("/v1/funnels", queries_playbook.funnels),
    QueryRoute("/v1/funnels/{funnel}", queries_playbook.funnel),
    QueryRoute("/v1/macro-stages", queries.rollup),
    QueryRoute("/v1/funnels/{funnel}/snapshot", queries.snapshot),
    QueryRoute("/v1/funnels/{funnel}/snapshot/deals", queries.snapshot_deals),
    QueryRoute("/v1/funnels/{funnel}/dwell", queries.dwell),
    QueryRoute("/v1/deals", queries.deals),
    QueryRoute("/v1/deals/{deal_id}", queries.deal),
    QueryRoute("/v1/deals/{deal_id}/timeline", queries.timeline),
    QueryRoute("/v1/deals/{deal_id}/win-rate", queries_sales.win_rate),
    QueryRoute("/v1/deals/{deal_id}/win-rate/curve", queries_sales.win_rate_curve),
    QueryRoute("/v1/deals/{deal_id}/checklist", queries_sales.checklist),
    QueryRoute("/v1/deals/{deal_id}/contacts", queries_people.deal_contacts),
    QueryRoute("/v1/deals/{deal_id}/team", queries_people.deal_team),
    QueryRoute("/v1/funnels/{funnel}/win-rate", queries_sales.weekly_win_rates),
    QueryRoute("/v1/funnels/{funnel}/win-rate/alerts", queries_sales.win_rate_alerts),
    QueryRoute("/v1/funnels/{funnel}/states", queries_sales.states),
    QueryRoute("/v1/funnels/{funnel}/states/deals", queries_sales.state_deals),
    QueryRoute("/v1/funnels/{funnel}/states/flow", queries_sales.states_flow),
    QueryRoute("/v1/funnels/{funnel}/dwell/alerts", queries_sales.dwell_alerts),
    QueryRoute("/v1/funnels/{funnel}/cohort", queries_sales.cohort),
    QueryRoute("/v1/funnels/{funnel}/cohort/series", queries_sales.cohort_series),
    QueryRoute("/v1/funnels/{funnel}/stale", queries_sales.stale),
    QueryRoute("/v1/accounts", queries_people.accounts),
    QueryRoute("/v1/accounts/{account_id}", queries_people.account),
    QueryRoute("/v1/accounts/{account_id}/attitudes", queries_people.attitudes),
    QueryRoute("/v1/forecast", forecasts.forecast),
    QueryRoute("/v1/forecast/weeks", forecasts.forecast_weeks),
    QueryRoute("/v1/forecast/accuracy", forecasts.forecast_accuracy),
    QueryRoute("/v1/forecast/audit", forecasts.forecast_audit),
    QueryRoute("/v1/funnels/{funnel}/rate-sets", forecasts.rate_sets),
    QueryRoute("/v1/recalibrations", recalibrations.recalibrations),
    QueryRoute("/v1/recalibrations/{recalibration_id}", recalibrations.recalibration),
    QueryRoute("/v1/funnels/{funnel}/what-if", what_if),
    QueryRoute("/v1/organisation", forecasts.organisation),
    QueryRoute("/v1/projections", queries_system.projections),
    QueryRoute("/v1/log", queries_system.log),
)


class OneQuery:
    """The endpoint of one query."""

    def __init__(self, route: QueryRoute, readers: Readers) -> None:
        self._query = route.query
        self._params = route.params
        self._by_viewer = route.by_viewer
        self._readers = readers

    async def __call__(self, request: Request) -> Response:
        """Answer the query."""
        trace = request.scope["trace"]
        trace.actor = verified_actor(request.scope)
        params = checked_params(self._params, texts(request))
        await self._wait_for(getattr(params, "min_position", None))
        body, version, trace.position = await self._readers.run(
            lambda conn: self._ask(conn, params, trace.actor)
        )
        headers = {} if version is None else {"ETag": f'"{version}"'}
        return Response(body, 200, headers, "application/json")

    def _ask(self, conn: Any, params: p.Params, viewer: Actor) -> tuple[bytes, int | None, int | None]:
        answer = answer_to(self._query, conn, params, *([viewer] if self._by_viewer else []))
        answer = with_waiting(conn, answer, params, viewer)
        return queries.encode(answer), getattr(answer, "version", None), getattr(answer, "position", None)

    async def _wait_for(self, position: int | None) -> None:
        """Raises NotYetVisible when the projections do not get there in time, InvalidParameters when they never can."""
        if position is None:
            return
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + PATIENCE
        while (reached := await self._readers.run(queries_system.reflected)).position < position:
            if position > reached.head:
                raise InvalidParameters(
                    f"The log ends at position {reached.head}.",
                    field="min_position",
                    accepted=f"up to {reached.head}",
                )
            if loop.time() > give_up_at:
                raise NotYetVisible(
                    f"The projections have come to position {reached.position}, not yet to {position}.",
                    field="min_position",
                    accepted=f"up to {reached.position} now",
                )
            await asyncio.sleep(PAUSE)


def texts(request: Request) -> dict[str, str]:
    """The parameters of path and query string by name.

    Raises InvalidParameters for one that stands there twice, and for what is no text.
    """
    try:
        unquote_to_bytes(request.scope["query_string"]).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidParameters(
            "The query string is not UTF-8.", accepted="percent-encoded UTF-8, such as %C3%A4"
        ) from None
    found = dict(request.path_params)
    for name, text in request.query_params.multi_items():
        if name in found:
            raise InvalidParameters(
                "A parameter stands there twice.", field=name[:100], accepted="each parameter once"
            )
        found[name] = text
    return found
