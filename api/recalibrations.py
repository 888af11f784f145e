"""Questions about recalibrations: which were asked for, how far they have come, what they found."""

from uuid import UUID

import msgspec

from api import recalibration_params as p
from api.asked import Connection, page_of
from api.cursor import place_of
from api.roles import require_role
from domain.errors import UnknownRecalibration
from domain.event import Actor, Role
from infra import recalibration_jobs as jobs
from infra.recalibration_jobs import Job
from projections.playbook import require_known
from workers.recalibration.record import RecalibrationBody, Record

MAY_ASK: frozenset[Role] = frozenset({"analyst", "sales_operations", "director", "admin"})
MAY_READ: frozenset[Role] = MAY_ASK | {"auditor"}
"""A record may hold rates that were fitted to the forecasts of all managers."""


class RecalibrationPage(msgspec.Struct, frozen=True):
    """Some recalibrations, the latest first, and how to get the next ones: null after the last."""

    recalibrations: list[Job]
    next_cursor: str | None


class Recalibration(Job, frozen=True):
    """A recalibration, and, when it is done, what it found: what `dealtrace recalibrate --format json` prints."""

    result: RecalibrationBody | None


def recalibrations(conn: Connection, params: p.RecalibrationsParams, viewer: Actor) -> RecalibrationPage:
    """Recalibrations that were asked for or run on the command line, and their state, page by page."""
    require_role(viewer, MAY_READ, "see recalibrations")
    if params.funnel is not None:
        require_known(conn, params.funnel)
    place = place_of(params, tuple[UUID])
    found = jobs.jobs(
        conn,
        funnel=params.funnel,
        state=params.state,
        before=place[0] if place else None,
        limit=params.limit + 1,
    )
    page, cursor = page_of(found, params, lambda last: (last.id,))
    return RecalibrationPage(page, cursor)


def recalibration(conn: Connection, params: p.OneRecalibration, viewer: Actor) -> Recalibration:
    """One recalibration: how far it has come and, when it is done, what it found."""
    require_role(viewer, MAY_READ, "see recalibrations")
    job = found(conn, params.recalibration_id)
    result = Record.found(conn, job.id).answer if job.state == "done" else None
    return Recalibration(**msgspec.structs.asdict(job), result=result)


def found(conn: Connection, recalibration_id: UUID) -> Job:
    """The job of that id. Raises UnknownRecalibration."""
    job = jobs.find_job(conn, recalibration_id)
    if job is None:
        raise UnknownRecalibration(recalibration_id)
    return job
