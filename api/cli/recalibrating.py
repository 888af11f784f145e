"""The verbs about stage win rates: recalibrating, forecasting under any rates, adopting, and their history."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer

from api import forecast_params as pf
from api import forecasts
from api import recalibration_params as p
from api.asked import Connection, now
from api.body import checked_params
from api.cli.actions import WHO, RoleName, actor_of, do, logged_in
from api.cli.data import ask, body, catch_up, opened, read
from api.cli.failure import USAGE, Failure
from api.cli.options import option, verb_taking
from api.cli.questions import FORMAT
from api.cli.terminal import Format, note, progress, show
from api.knowledge import answer_to
from api.recalibration_jobs import ask as ask_for
from api.recalibration_jobs import instant, wanted
from api.recalibrations import MAY_READ
from api.roles import require_role
from api.spelling import plain
from domain.event import Actor, Knowledge
from domain.recalibration.folds import Unit
from infra.postgres import Server
from projections.engine.knowledge import known_by
from workers.recalibration.adopting import adoption
from workers.recalibration.pipeline import forecast_pipeline
from workers.recalibration.record import NoSuchRecord, RecalibrationBody, Record, StageEvidence, named
from workers.recalibration.report import report
from workers.recalibration.running import Asked, NothingKnown, run_recalibration

_AT = option(
    "at", str | None, None, "--at", metavar="TIME",
    help="The whole open pipeline at this moment or day, instead of a period.", show_default=False,
)  # fmt: skip
_RATES = option(
    "rates", str | None, None, "--rates", metavar="RATES",
    help="The whole open pipeline under these rates: RECORD:CANDIDATE, or current.", show_default=False,
)  # fmt: skip
_DETACH = option(
    "detach", bool, False, "--detach",
    help="Let a server do it; `dealtrace recalibrations` says how far it has come.", show_default=False,
)  # fmt: skip
_SEED = option("seed", int, 0, "--seed", help="Seed of the draws behind the bands of --at and --rates.")


def add_recalibrating(app: typer.Typer) -> None:
    """Give the program `recalibrate`, `forecast` and `rates`."""
    app.command(
        "recalibrate",
        help="Learn stage win rates from history, test every way to do so, recommend, and keep the record.",
        epilog="Example:  dealtrace recalibrate --funnel tas_plus --until 2026-01-31",
        rich_help_panel="Ask",
    )(verb_taking(p.RecalibrateParams, _recalibrate, FORMAT, _DETACH))
    app.command(
        "forecast",
        help="The forecast of a period; with --at or --rates, of the whole pipeline open at a moment.",
        epilog="Example:  dealtrace forecast --funnel tas_plus --month 2026-03 --team north",
        rich_help_panel="Ask",
    )(verb_taking(pf.ForecastParams, _forecast, _AT, _RATES, _SEED, FORMAT, *WHO))
    rates = typer.Typer(
        no_args_is_help=True, help="Stage win rates: adopt a candidate of a record, look back."
    )
    rates.command(
        "adopt",
        help="Adopt a candidate of a record of recalibration for its funnel.",
        epilog="Example:  dealtrace rates adopt 0190a7e2-4f6b-7c31-9d57-2f6d1c0b8a11:survivor/2 --reason 'Tested.'",
    )(adopt)
    rates.command(
        "history",
        help="Every rate set of a funnel: when, by whom, why and on what evidence, and how it has done since.",
        epilog="Example:  dealtrace rates history --funnel tas_plus",
    )(verb_taking(pf.RateSetsParams, _history, FORMAT))
    rates.command(
        "report",
        help="Write the report of a record: one HTML file that needs no network.",
        epilog="Example:  dealtrace rates report 0190a7e2-4f6b-7c31-9d57-2f6d1c0b8a11 --out report.html",
    )(write_report)
    app.add_typer(rates, name="rates", rich_help_panel="Change")


def adopt(
    candidate: Annotated[str, typer.Argument(metavar="RECORD:CANDIDATE", help="Such as ...:survivor/2.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.")],
    effective_from: Annotated[
        str | None, typer.Option("--effective-from", metavar="TIME", help="Default: now.")
    ] = None,
    actor: Annotated[str | None, typer.Option("--as", metavar="NAME", help="Who does it.")] = None,
    role: Annotated[RoleName, typer.Option("--role", metavar="ROLE", help="In which role.")] = "admin",
    form: Annotated[
        Literal["text", "json"], typer.Option("--format", help="A sentence, or the body of the HTTP answer.")
    ] = "text",
) -> None:
    """Adopt a candidate of a record."""
    given = {"reason": reason} | ({} if effective_from is None else {"effective_from": effective_from})
    params = checked_params(p.AdoptParams, given)
    with opened() as server:
        try:
            record, name = named(candidate)
        except NoSuchRecord as error:
            raise _unknown(error) from None
        command = read(
            server,
            lambda conn: adoption(conn, record, name, params.reason, effective_from=params.effective_from),
        )
    do(command, actor, role, None, form)


def write_report(
    record: Annotated[str, typer.Argument(metavar="RECORD", help="The id of the record.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The file to write; it may not exist yet.")
    ],
) -> None:
    """Write the report of a record."""
    with opened() as server:
        try:
            found = read(server, lambda conn: Record.found(conn, named(record)[0]))
        except NoSuchRecord as error:
            raise _unknown(error) from None
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(report(found, managers=True))  # whoever reaches the database
    except FileExistsError:
        raise Failure(f"{out} exists already.", "another --out", USAGE) from None
    note(f"Wrote {out}.")


def _recalibrate(params: p.RecalibrateParams, form: Format, detach: bool) -> None:
    with opened() as server:
        catch_up(server)
        if detach:
            actor = Actor(logged_in(), "admin", "cli")
            job = ask_for(server.app_url, read(server, lambda conn: wanted(conn, params, actor))).job
            show(job, body(job), form)
            return
        asked = Asked(
            params.funnel,
            _instant(server, params.until, "--until"),
            Unit(params.period) if params.period else None,
            params.seed,
            params.replicates,
            params.knowledge,
        )
        with progress("Recalibrating") as bar:
            try:
                record = run_recalibration(
                    server.app_url, asked, lambda what, done, total: bar.at(done, total, what)
                )
            except NothingKnown as error:
                hint = "a later --until, or another --funnel"
                if params.knowledge == "witnessed":
                    hint = f"--knowledge source, {hint}"
                raise Failure(f"{error}.", hint) from None
    answer = record.answer
    show(answer if form == "json" else _summary(answer), body(answer), form)


def _forecast(
    params: pf.ForecastParams,
    at: str | None,
    rates: str | None,
    seed: int,
    form: Format,
    actor: str | None,
    role: RoleName,
) -> None:
    answer: Any
    if at is None and rates is None:
        viewer = actor_of(actor, role)
        answer = ask(lambda conn, asked: answer_to(forecasts.forecast, conn, asked, viewer), params)
    else:
        if set(params.model_dump(exclude_defaults=True)) - {"funnel", "knowledge"}:
            raise Failure(
                "--at and --rates are for the whole open pipeline of a funnel, not for a period or a team.",
                "leave out either --at and --rates, or the other options",
                USAGE,
            )
        if rates not in (None, "current"):
            require_role(actor_of(actor, role), MAY_READ, "see recalibrations")
        answer = _pipeline(params.funnel, at, rates, seed, params.knowledge)
    show(answer, body(answer), form)


def _pipeline(funnel: str, at: str | None, rates: str | None, seed: int, knowledge: Knowledge) -> Any:
    given = {"funnel": funnel, "at": at, "rates": rates or "current", "seed": seed, "knowledge": knowledge}
    params = checked_params(p.PipelineParams, {name: v for name, v in given.items() if v is not None})
    with opened() as server:
        catch_up(server)
        moment = _instant(server, params.at, "--at")

        def forecast(conn: Connection) -> Any:
            with known_by(conn, params.knowledge):
                return forecast_pipeline(
                    conn, params.funnel, moment, params.rates, now=now(conn), seed=params.seed
                )

        try:
            return read(server, forecast)
        except NoSuchRecord as error:
            raise _unknown(error) from None


def _history(params: pf.RateSetsParams, form: Format) -> None:
    answer = ask(forecasts.rate_sets, params)
    show(answer if form == "json" else _told(answer), body(answer), form)


def _instant(server: Server, given: p.Instant | None, option: str) -> datetime:
    latest: datetime = read(server, now)
    if given is None:
        return latest
    moment = read(server, lambda conn: instant(conn, given))
    if moment > latest:
        raise Failure(f"{option} lies in the future.", f"a moment up to {plain(latest)}", USAGE)
    return moment  # type: ignore[no-any-return]


def _unknown(error: NoSuchRecord) -> Failure:
    return Failure(f"{error}.", "dealtrace recalibrate prints the id of its record and its candidates")


class _Adopted(msgspec.Struct, frozen=True):
    """A rate set in a line: whose it was, what it rests on, and how it has done at the ends of `weeks`."""

    number: int
    effective_from: datetime
    effective_to: datetime | None
    adopted_by: str
    role: str
    reason: str
    evidence: str
    weeks: int
    unresolved: Decimal | None
    bias: Decimal | None
    wape: Decimal | None
    no_figure_because: str | None


class _History(msgspec.Struct, frozen=True):
    """The history in a window; the rates themselves are in the JSON."""

    funnel: str
    in_force: int | None
    rate_sets: list[_Adopted]


def _told(found: forecasts.RateSets) -> _History:
    return _History(
        found.funnel,
        found.in_force,
        [
            _Adopted(
                one.number,
                one.effective_from,
                one.effective_to,
                one.actor_id,
                one.actor_role,
                one.reason,
                f"{one.evidence.record}:{one.evidence.candidate}" if one.evidence else "set by hand",
                one.since.weeks,
                one.since.unresolved,
                one.since.bias,
                one.since.wape,
                one.since.reason,
            )
            for one in found.rate_sets
        ],
    )


class _Tested(msgspec.Struct, frozen=True):
    """How a candidate's rates did in the walk-forward test, and how far off its estimator was deal by deal."""

    candidate: str
    forecasts: int
    wape: float | None
    bias: float | None
    log_loss: float | None
    in_the_80_percent_band: float | None
    wape_deal_by_deal: float | None


class _Summary(msgspec.Struct, frozen=True):
    """The answer in a window: how the candidates did, and the rates of the one recommended."""

    record: str
    digest: str
    until: datetime
    target: str
    recommended: str
    reason: str
    candidates: tuple[_Tested, ...]
    rates: tuple[StageEvidence, ...]
    knowledge: Knowledge
    claimed_events: int | None


def _summary(found: RecalibrationBody) -> _Summary:
    tested = tuple(
        _Tested(
            candidate=one.full_name,
            forecasts=one.scores.get("forecasts", 0),
            wape=_rounded(one.scores.get("wape")),
            bias=_rounded(one.scores.get("bias")),
            log_loss=_rounded(one.scores.get("log_loss")),
            in_the_80_percent_band=_rounded(one.scores.get("covered")),
            wape_deal_by_deal=_rounded(one.scores.get("deal_by_deal", {}).get("wape")),
        )
        for one in found.candidates
    )
    return _Summary(
        str(found.record),
        found.digest,
        found.until,
        found.target,
        found.recommended,
        found.reason,
        tested,
        next((one.rates for one in found.candidates if one.full_name == found.recommended), ()),
        found.knowledge,
        found.claimed_events,
    )


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 4)
