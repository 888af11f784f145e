"""Questions about the rules in force: funnels, and the whole playbook."""

from decimal import Decimal

import msgspec

from api import params as p
from api.asked import Connection, now
from domain import playbook as rules
from domain.playbook import Checklist, Funnel, Grades
from domain.relations import AttitudeStrategy, DepthRules
from infra.streams import load_streams


class Playbook(msgspec.Struct, frozen=True):
    """The rules in force, with the version of the playbook that they are."""

    version: int
    currency: str | None
    time_zone: str
    fiscal_year_start: int
    funnels: list[Funnel]


def funnels(conn: Connection, params: p.NoParams) -> Playbook:  # noqa: ARG001 -- asked like all
    """The playbook in force: the reporting currency, the calendar, and every funnel with its stages."""
    version, book = _in_force(conn)
    return Playbook(
        version, book.currency, book.time_zone, book.fiscal_year_start, list(book.funnels.values())
    )


def funnel(conn: Connection, params: p.OneFunnel) -> Funnel:
    """One funnel with its stages.

    Raises UnknownFunnel.
    """
    return _in_force(conn)[1].funnel(params.funnel)


class FunnelRules(msgspec.Struct, frozen=True):
    """A funnel, its grades, what its stages ask for, and the number of its rate set in force; null where none is."""

    funnel: Funnel
    grades: Grades | None
    checklists: dict[str, Checklist]
    rate_set: int | None


class Rules(msgspec.Struct, frozen=True):
    """Everything the company sells by, at its defaults where nothing was set; `version` is for `If-Match`."""

    version: int
    currency: str | None
    time_zone: str
    fiscal_year_start: int
    depth_rules: DepthRules
    no_inside_source_factor: Decimal
    cohort_window_weeks: int
    locked_months: tuple[str, ...]
    strategies: list[AttitudeStrategy]
    funnels: list[FunnelRules]


def playbook(conn: Connection, params: p.NoParams) -> Rules:  # noqa: ARG001 -- asked like all
    """The whole playbook in force: calendar, funnels, grades, checklists, and the rules about people and figures."""
    version, book = _in_force(conn)
    at = now(conn)
    funnels = [
        FunnelRules(
            funnel,
            book.grades.get(key),
            book.checklists.get(key, {}),
            rates.number if (rates := book.rate_set(key, at)) else None,
        )
        for key, funnel in book.funnels.items()
    ]
    return Rules(
        version,
        book.currency,
        book.time_zone,
        book.fiscal_year_start,
        book.depth_rules,
        book.no_inside_source_factor,
        book.cohort_window_weeks,
        tuple(sorted(book.locked_months)),
        list(book.strategies),
        funnels,
    )


def _in_force(conn: Connection) -> tuple[int, rules.Playbook]:
    """The playbook and its version."""
    stream = load_streams(conn, [rules.STREAM_ID])[rules.STREAM_ID]
    return stream.version, stream.state or rules.EMPTY
