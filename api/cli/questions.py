"""The verbs that ask: one per query, with its parameters as options."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import typer

from api import forecasts, queries, queries_people, queries_playbook, queries_sales
from api.asked import params_of, takes_viewer
from api.cli.actions import WHO, RoleName, actor_of
from api.cli.data import ask, body
from api.cli.options import option, verb_taking
from api.cli.terminal import Format, show
from api.knowledge import answer_to
from api.what_if import what_if


class Question(NamedTuple):
    """A verb, the query that it asks, and how it may be typed."""

    verb: str
    query: Callable[..., Any]
    example: str


QUESTIONS = (
    Question("funnel", queries.snapshot, "--funnel tas_plus --as-of 2026-01-31T23:00:00+01:00"),
    Question("funnel-deals", queries.snapshot_deals, "--funnel tas_plus --stage bidding --limit 10"),
    Question("macro-stages", queries.rollup, "--team north"),
    Question("dwell", queries.dwell, "--funnel tas_plus --owner anna"),
    Question("deals", queries.deals, "--status open --sort amount --limit 10"),
    Question("deal", queries.deal, "0190a7e2-4f6b-7c31-9d57-2f6d1c0b8a11"),
    Question("timeline", queries.timeline, "0190a7e2-4f6b-7c31-9d57-2f6d1c0b8a11"),
    Question("win-rate", queries_sales.win_rate, "0190a7e2-4f6b-7c31-9d57-2f6d1c0b8a11"),
    Question("win-rate-curve", queries_sales.win_rate_curve, "0190a7e2-4f6b-7c31-9d57-2f6d1c0b8a11"),
    Question("win-rates", queries_sales.weekly_win_rates, "--funnel tas_plus --owner anna --weeks 26"),
    Question("win-rate-alerts", queries_sales.win_rate_alerts, "--funnel tas_plus"),
    Question("states", queries_sales.states, "--funnel tas_plus --owner anna"),
    Question("state-deals", queries_sales.state_deals, "--funnel tas_plus --state pending_loss"),
    Question("states-flow", queries_sales.states_flow, "--funnel tas_plus --weeks 8"),
    Question("dwell-alerts", queries_sales.dwell_alerts, "--funnel tas_plus --alerts all"),
    Question("cohort", queries_sales.cohort, "--funnel tas_plus --region North"),
    Question("cohort-series", queries_sales.cohort_series, "--funnel tas_plus --every month --points 6"),
    Question("stale", queries_sales.stale, "--funnel tas_plus --owner anna"),
    Question("checklist", queries_sales.checklist, "0190a7e2-4f6b-7c31-9d57-2f6d1c0b8a11"),
    Question("deal-contacts", queries_people.deal_contacts, "0190a7e2-4f6b-7c31-9d57-2f6d1c0b8a11"),
    Question("deal-team", queries_people.deal_team, "0190a7e2-4f6b-7c31-9d57-2f6d1c0b8a11"),
    Question("accounts", queries_people.accounts, "--region North --limit 10"),
    Question("account", queries_people.account, "0190a7e2-4f6b-7c31-9d57-2f6d1c0b8a12"),
    Question("attitudes", queries_people.attitudes, "0190a7e2-4f6b-7c31-9d57-2f6d1c0b8a12"),
    Question("forecast-weeks", forecasts.forecast_weeks, "--funnel tas_plus --month 2026-03"),
    Question("forecast-accuracy", forecasts.forecast_accuracy, "--funnel tas_plus --from-month 2026-01"),
    Question("forecast-audit", forecasts.forecast_audit, "--funnel tas_plus --month 2026-03 --role auditor"),
    Question("what-if", what_if, "--funnel tas_plus --week 2026-W10 --rates 2"),
    Question("rate-sets", forecasts.rate_sets, "--funnel tas_plus"),
    Question("organisation", forecasts.organisation, "--as-of 2026-01-31T23:00:00+01:00"),
    Question("playbook", queries_playbook.playbook, "--format json"),
    Question("funnels", queries_playbook.funnels, "--format json"),
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
        )(verb_taking(params_of(question.query), *_asking(question)))


def _asking(question: Question) -> tuple[Any, ...]:
    """What the verb does with its parameters, and its further options: who asks, where the answer depends on it."""

    def body_of_verb(params: Any, form: Format) -> None:
        answer = ask(partial(answer_to, question.query), params)
        show(answer, body(answer), form)

    def body_for_viewer(params: Any, form: Format, actor: str | None, role: RoleName) -> None:
        viewer = actor_of(actor, role)
        answer = ask(lambda conn, asked: answer_to(question.query, conn, asked, viewer), params)
        show(answer, body(answer), form)

    if takes_viewer(question.query):
        return (body_for_viewer, FORMAT, *WHO)
    return (body_of_verb, FORMAT)
