"""What every answer about two clocks says beside its own: by whose word things were known, and how much of it is claim."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from api.asked import Connection
from api.extended import extend, extended
from api.forecast_params import OrganisationParams
from api.params import ByKnowledge, Params
from api.params_sales import AccountAtParams
from domain import organisation
from domain.event import Actor, Knowledge
from projections.claims import claimed_events, claimed_of_streams
from projections.engine.knowledge import known_by

_TOLD = (("knowledge", Knowledge), ("claimed_events", int))
"""`claimed_events`: how many events behind the answer were known at K only by their source's claim."""


def answer_to(query: Callable[..., Any], conn: Connection, params: Params, *viewer: Actor) -> Any:
    """The answer to a query, read by the knowledge that is asked for."""
    if not isinstance(params, ByKnowledge):
        return query(conn, params, *viewer)
    with known_by(conn, params.knowledge):
        answer = query(conn, params, *viewer)
        events = _claimed(conn, params, answer.as_of, answer.known_at, answer.position)
    return extend(answer, _TOLD, knowledge=params.knowledge, claimed_events=events)


def answered(answer: Any, params: type[Params]) -> Any:
    """What is answered to such parameters, where the query itself gives `answer`."""
    return extended(answer, _TOLD) if issubclass(params, ByKnowledge) else answer


def _claimed(
    conn: Connection, params: ByKnowledge, as_of: datetime, known_at: datetime | None, position: int
) -> int:
    """Of the account or the organisation that is asked about; else of the deal, of the funnel's deals or of all."""
    match params:
        case AccountAtParams():
            return claimed_of_streams(conn, as_of, known_at, [params.account_id], position)
        case OrganisationParams():
            return claimed_of_streams(conn, as_of, known_at, [organisation.STREAM_ID], position)
    deal_id, funnel = getattr(params, "deal_id", None), getattr(params, "funnel", None)
    return claimed_events(conn, as_of, known_at, deal_id=deal_id, funnel=funnel)
