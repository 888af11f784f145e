"""The verbs that ask: one per query of `api/queries.py`, with its parameters as options."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, get_type_hints

import typer

from api import forecast_params as pf
from api import forecasts, queries
from api import params as p
from api import params_sales as ps
from api import queries_sales as sales
from api.cli.actions import WHO, RoleName, actor_of
from api.cli.data import ask, body
from api.cli.options import option, verb_taking
from api.cli.terminal import Format, show
from api.knowledge import answer_to
from api.what_if import what_if
from api.what_if_params import WhatIfParams


class Question(NamedTuple):
    """A verb, the query it asks, and how it is typed."""

    verb: str
    query: Callable[..., Any]
    params: type[p.Params]
    example: str


QUESTIONS = (
    Question(
        "funnel", queries.snapshot, p.SnapshotParams, "--funnel tas_plus --as-of 2026-01-31T23:00:00+01:00"
    ),
    Question(
        "funnel-deals",
        queries.snapshot_deals,
        p.SnapshotDealsParams,
        "--funnel tas_plus --stage bidding --limit 10",
    ),
    Question("macro-stages", queries.rollup, p.RollupParams, "--team north"),
    Question("dwell", queries.dwell, p.DwellParams, "--funnel tas_plus --owner anna"),
    Question("deals", queries.deals, p.DealsParams, "--status open --sort amount --limit 10"),
    Question("deal", queries.deal, p.OneDeal, "0190a7e2-4f6b-7c31-9d57-2f6d1c0b8a11"),
    Question("timeline", queries.timeline, p.TimelineParams, "0190a7e2-4f6b-7c31-9d57-2f6d1c0b8a11"),
    Question("win-rate", sales.win_rate, p.OneDeal, "0190a7e2-4f6b-7c31-9d57-2f6d1c0b8a11"),
    Question("win-rate-curve", sales.win_rate_curve, ps.DealAtParams, "0190a7e2-4f6b-7c31-9d57-2f6d1c0b8a11"),
    Question(
        "win-rates",
        sales.weekly_win_rates,
        ps.WinRateWeeksParams,
        "--funnel tas_plus --owner anna --weeks 26",
    ),
    Question("win-rate-alerts", sales.win_rate_alerts, ps.WinRateAlertsParams, "--funnel tas_plus"),
    Question("states", sales.states, ps.FunnelAtParams, "--funnel tas_plus --owner anna"),
    Question("state-deals", sales.state_deals, ps.StateDealsParams, "--funnel tas_plus --state pending_loss"),
    Question("states-flow", sales.states_flow, ps.StatesFlowParams, "--funnel tas_plus --weeks 8"),
    Question("dwell-alerts", sales.dwell_alerts, ps.DwellAlertsParams, "--funnel tas_plus --alerts all"),
    Question("cohort", sales.cohort, ps.FunnelAtParams, "--funnel tas_plus --region North"),
    Question("stale", sales.stale, ps.StaleParams, "--funnel tas_plus --owner anna"),
    Question("checklist", sales.checklist, ps.DealAtParams, "0190a7e2-4f6b-7c31-9d57-2f6d1c0b8a11"),
    Question("deal-contacts", sales.deal_contacts, ps.DealAtParams, "0190a7e2-4f6b-7c31-9d57-2f6d1c0b8a11"),
    Question("deal-team", sales.deal_team, ps.DealAtParams, "0190a7e2-4f6b-7c31-9d57-2f6d1c0b8a11"),
    Question("accounts", sales.accounts, ps.AccountsParams, "--region North --limit 10"),
    Question("account", sales.account, ps.OneAccount, "--account-id 0190a7e2-4f6b-7c31-9d57-2f6d1c0b8a12"),
    Question(
        "attitudes", sales.attitudes, ps.AccountAtParams, "--account-id 0190a7e2-4f6b-7c31-9d57-2f6d1c0b8a12"
    ),
    Question(
        "forecast-weeks",
        forecasts.forecast_weeks,
        pf.ForecastWeeksParams,
        "--funnel tas_plus --month 2026-03",
    ),
    Question(
        "forecast-accuracy",
        forecasts.forecast_accuracy,
        pf.ForecastAccuracyParams,
        "--funnel tas_plus --from-month 2026-01",
    ),
    Question(
        "forecast-audit",
        forecasts.forecast_audit,
        pf.ForecastAuditParams,
        "--funnel tas_plus --month 2026-03 --role auditor",
    ),
    Question("what-if", what_if, WhatIfParams, "--funnel tas_plus --week 2026-W10 --rates 2"),
    Question("rate-sets", forecasts.rate_sets, pf.RateSetsParams, "--funnel tas_plus"),
    Question(
        "organisation", forecasts.organisation, pf.OrganisationParams, "--as-of 2026-01-31T23:00:00+01:00"
    ),
    Question("playbook", sales.playbook, p.NoParams, "--format json"),
    Question("funnels", queries.funnels, p.NoParams, "--format json"),
)

FORMAT = option(
    "form", Format, "table", "--format", help="A table for people, the body of the HTTP answer, or rows."
)


def add_questions(app: typer.Typer) -> None:
    """Give the program every question."""
    for question in QUESTIONS:
        meaning = (question.query.__doc__ or "").strip().splitlines()[0]
        app.command(
            question.verb,
            help=meaning,
            epilog=f"Example:  dealtrace {question.verb} {question.example}",
            rich_help_panel="Ask",
        )(verb_taking(question.params, *_asking(question)))


def _asking(question: Question) -> tuple[Any, ...]:
    """What the verb does with its parameters, and its further options: who asks, where the answer depends on it."""

    def body_of_verb(params: Any, form: Format) -> None:
        answer = ask(partial(answer_to, question.query), params)
        show(answer, body(answer), form)

    def body_for_viewer(params: Any, form: Format, actor: str | None, role: RoleName) -> None:
        viewer = actor_of(actor, role)
        answer = ask(lambda conn, asked: answer_to(question.query, conn, asked, viewer), params)
        show(answer, body(answer), form)

    if "viewer" in get_type_hints(question.query):
        return (body_for_viewer, FORMAT, *WHO)
    return (body_of_verb, FORMAT)
