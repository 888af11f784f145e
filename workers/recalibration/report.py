"""The report of a recalibration: one HTML file that needs nothing else, readable in black and white."""

from html import escape
from typing import Any

from workers.recalibration.record import CandidateBody, Record, StageEvidence
from workers.recalibration.report_figures import (
    calibration_figure,
    dwell_figure,
    errors_figure,
    rates_figure,
    weeks_figure,
)
from workers.recalibration.report_glance import at_a_glance, percentage
from workers.recalibration.report_style import STYLE

UNRESOLVED_TO_SAY = 0.1
"""Share of rows without an outcome above which a rate says so."""


def report(record: Record, *, managers: bool = False) -> str:
    """The HTML of the report; with `managers` also F1, for those alone who may see what managers forecast."""
    answer = record.answer
    proposed = answer.candidate(answer.recommended)
    # The textbook stands in where no rates are in force: it is what people would reckon by hand.
    present = next((c for c in answer.candidates if c.name == "current"), None)
    beside = present or answer.candidate("entry/1")
    title = f"Stage win rates of {answer.funnel}"
    asked = (
        "what the open deals bring in eventually"
        if answer.target == "T1"
        else "what they bring in by their month"
    )
    known = "known" if answer.knowledge == "source" else "recorded in this log"
    said = f"Recalibrated on what was {known} by {answer.until:%Y-%m-%d %H:%M} UTC; aimed at {asked}."
    plots = (
        weeks_figure(record, beside, proposed, managers=managers),
        errors_figure(record, beside, proposed),
        calibration_figure(proposed),
        rates_figure(beside, proposed),
        dwell_figure(record),
    )
    return "".join(
        (
            "<!doctype html><html lang=en><head><meta charset=utf-8>",
            '<meta name=viewport content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}, {answer.until:%Y-%m-%d}</title><style>{STYLE}</style></head><body>",
            f"<header><h1>{escape(title)}</h1><p>{escape(said)}</p></header><main>",
            at_a_glance(record, proposed, present),
            f"<div class=plots>{''.join(plots)}</div>",
            _rate_table(beside, proposed),
            _scores(record, proposed),
            _evidence(record),
            "</main></body></html>\n",
        )
    )


def _rate_table(beside: CandidateBody, proposed: CandidateBody) -> str:
    old = {(r.stage, r.age): r for r in beside.rates}
    aged = any(rate.age for rate in proposed.rates)
    lines = []
    for rate in proposed.rates:
        before = old.get((rate.stage, rate.age)) or old.get((rate.stage, None))
        doubt = " *" if (rate.unresolved or 0) > UNRESOLVED_TO_SAY else ""
        lines.append(
            f"<tr><td>{escape(rate.stage)}{f'<td class=words>{rate.age}' if aged else ''}<td>{_percent(before)}"
            f"<td><b>{_percent(rate)}</b><td>{percentage(rate.low)} to {percentage(rate.high)}"
            f"<td>{rate.deals:,}<td>{rate.wins:,}<td>{rate.rows:,}<td>{percentage(rate.unresolved)}{doubt}"
        )
    return (
        f"<section><h2>Rates in numbers</h2><div class=wide><table><tr><th>stage{'<th class=words>age' if aged else ''}"
        f"<th>{escape(beside.full_name)}<th>{escape(proposed.full_name)}<th>90 % interval"
        f"<th>deals<th>won<th>rows<th>unresolved{''.join(lines)}</table></div>"
        "<p class=small>Rows are open deals at week ends. * More than a tenth of them have no outcome yet.</p></section>"
    )


def _scores(record: Record, proposed: CandidateBody) -> str:
    candidates = record.answer.candidates
    lines = "".join(
        _line(one.full_name, one.scores, "chosen" if one is proposed else "")
        + (_line("deal by deal", own, "own") if (own := one.scores.get("deal_by_deal")) else "")
        for one in candidates
        if one.scores
    )
    own = [one.full_name for one in candidates if one.scores.get("deal_by_deal")]
    untested = [
        f"{one.full_name} could not forecast every week tested." for one in candidates if not one.scores
    ]
    said = [f"{one.candidate} does not apply: {one.reason}." for one in record.answer.not_applicable]
    if own:
        said.insert(
            0,
            f"Every candidate is tested by its rates, which are what can be adopted. Deal by deal: the chances that"
            f" {own[0]} gives each deal in dealtrace forecast --rates RECORD:{own[0]}.",
        )
    notes = f"<p class=small>{escape(' '.join([*(untested if lines else []), *said]))}</p>"
    if not lines:
        return f"<section><h2>Test</h2><p>History is too short for a walk-forward test.</p>{notes}</section>"
    return (
        "<section><h2>Test on periods not fitted on</h2><div class=wide><table><tr><th>candidate<th>forecasts<th>WAPE"
        f"<th>bias<th>Brier<th>log loss<th>in the 80 % band{lines}</table></div>{notes}</section>"
    )


def _line(name: str, scores: dict[str, Any], kind: str) -> str:
    return (
        f"<tr{f' class={kind}' if kind else ''}><td>{escape(name)}<td>{scores['forecasts']}"
        f"<td>{percentage(scores['wape'])}<td>{_signed(scores['bias'])}<td>{scores['brier']:.4f}"
        f"<td>{scores['log_loss']:.4f}<td>{percentage(scores['covered'], 0)}"
    )


def _evidence(record: Record) -> str:
    answer = record.answer
    libraries = ", ".join(f"{name} {version}" for name, version in record.libraries.items())
    claimed = (
        f" ({answer.claimed_events:,} events were known then only by the claim of their source)"
        if answer.claimed_events
        else ""
    )
    return (
        f"<section><h2>Evidence</h2><p class=small>Record <code>{answer.record}</code>, evidence digest "
        f"<code>{escape(answer.digest)}</code>, log root <code>{escape(answer.log.root)}</code> at position "
        f"{answer.log.position:,}, target {escape(answer.target)}, knowledge {answer.knowledge}{claimed}, seed {record.seed}, "
        f"{record.replicates} draws, {escape(libraries)}.</p><p class=small>Adopt with <code>dealtrace rates adopt "
        f"{answer.record}:{escape(answer.recommended)} --reason ...</code></p></section>"
    )


def _percent(rate: StageEvidence | None) -> str:
    return "unknown" if rate is None or rate.rate is None else f"{rate.rate:.1%}"


def _signed(share: float | None) -> str:
    return "" if share is None else f"{share:+.1%}"
