"""The report of a recalibration: one HTML file that needs nothing else, readable in black and white."""

from collections.abc import Sequence
from html import escape

from workers.recalibration.charts import Line, calibration_plot, interval_bar, lines_plot
from workers.recalibration.record import CandidateBody, Record, StageEvidence

_STYLE = """
:root { color-scheme: light; } body { font: 16px/1.5 system-ui, sans-serif; color: #111; background: #fff;
max-width: 62rem; margin: 2rem auto; padding: 0 1rem; } h1 { font-size: 1.6rem; margin-bottom: .2rem; }
h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid #999; } .lead { font-size: 1.15rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .5rem; border-bottom: 1px solid #ddd; } th { border-color: #666; }
th:first-child, td:first-child, th.words, td.words { text-align: left; } tr.chosen td { font-weight: 700; }
figure { margin: 1rem 0; } figcaption, .small { color: #444; font-size: .9rem; } code { word-break: break-all; }
svg { max-width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: #111; }
"""


def report(record: Record) -> str:
    """The HTML of the report."""
    answer = record.answer
    proposed = answer.candidate(answer.recommended)
    # The textbook stands in where no rates are in force: it is what people would reckon by hand.
    present = next((c for c in answer.candidates if c.name == "current"), None)
    beside = present or answer.candidate("entry/1")
    title = f"Stage win rates of {answer.funnel}, {answer.until:%Y-%m-%d}"
    return "".join(
        (
            "<!doctype html><html lang=en><meta charset=utf-8>",
            '<meta name=viewport content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>",
            _at_a_glance(record, proposed, present),
            _weeks(record, beside, proposed),
            _rates(beside, proposed),
            _scores(answer.candidates, proposed),
            _calibration(proposed),
            _evidence(record),
            "</html>\n",
        )
    )


def _at_a_glance(record: Record, proposed: CandidateBody, present: CandidateBody | None) -> str:
    answer = record.answer
    now = "none are in force" if answer.current is None else f"set {answer.current.number}"
    error, gain = proposed.scores.get("wape"), proposed.scores.get("improvement")
    tested = proposed.scores.get("forecasts", 0)
    said = [f"<b>Now:</b> {escape(now)}. <b>Proposed:</b> {escape(proposed.full_name)}."]
    if error is not None:
        said.append(
            f"On {tested} weekly forecasts that it was not fitted on, its error (WAPE) was <b>{error:.1%}</b>"
            f"{_of_textbook(answer.candidates) if present is None else ''}."
        )
    if gain is not None and present is not None:
        low, high = proposed.scores["improvement_low"], proposed.scores["improvement_high"]
        bounds = "" if low is None or high is None else f" (90 % interval {low:.1%} to {high:.1%})"
        said.append(f"That is {gain:.1%} of the actual better than the rates in force{bounds}.")
    held = proposed.scores.get("covered")
    if held is not None:
        said.append(f"{held:.0%} of the actuals lay in its 80 % band.")
    return f"<p class=lead>{' '.join(said)}</p><p>{escape(answer.reason)}</p>"


def _of_textbook(candidates: Sequence[CandidateBody]) -> str:
    textbook = next((c.scores.get("wape") for c in candidates if c.name == "entry"), None)
    return "" if textbook is None else f", that of the textbook rates (entry/1) {textbook:.1%}"


def _weeks(record: Record, beside: CandidateBody, proposed: CandidateBody) -> str:
    weeks = record.tested
    if len(weeks) < 2:
        return "<h2>Forecast and actual</h2><p>Too few weeks could be tested to draw them.</p>"
    name, other = proposed.full_name, beside.full_name
    lines = [
        Line("actual", [w.actual for w in weeks], "solid"),
        Line(name, [w.forecasts.get(name) for w in weeks], "dashed"),
    ]
    if other != name:
        lines.append(Line(other, [w.forecasts.get(other) for w in weeks], "dotted"))
    plot = lines_plot([f"{w.at:%m-%d}" for w in weeks], lines)
    return (
        f"<h2>Forecast and actual</h2><figure>{plot}<figcaption>F2 of the pipeline at each week end, fitted on what "
        "was known before, and what it brought in. Deals still open count with their expectation.</figcaption></figure>"
    )


def _rates(beside: CandidateBody, proposed: CandidateBody) -> str:
    old = {(r.stage, r.age): r for r in beside.rates}
    lines = []
    for rate in proposed.rates:
        before = old.get((rate.stage, rate.age)) or old.get((rate.stage, None))
        doubt = " *" if (rate.unresolved or 0) > 0.1 else ""
        lines.append(
            f"<tr><td>{escape(rate.stage)}<td class=words>{rate.age or ''}<td>{_percent(before)}"
            f"<td><b>{_percent(rate)}</b><td class=words>{interval_bar(rate.low, rate.rate, rate.high)}"
            f"<td>{rate.deals}<td>{rate.wins}<td>{rate.rows}<td>{_share(rate.unresolved)}{doubt}"
        )
    return (
        "<h2>Rates</h2><table><tr><th>stage<th class=words>age"
        f"<th>{escape(beside.full_name)}<th>{escape(proposed.full_name)}<th class=words>90 % interval, 0 to 100 %"
        f"<th>deals<th>won<th>rows<th>unresolved{''.join(lines)}</table>"
        "<p class=small>* More than a tenth of the rows have no outcome yet.</p>"
    )


def _scores(candidates: Sequence[CandidateBody], proposed: CandidateBody) -> str:
    lines = "".join(
        f"<tr{' class=chosen' if one is proposed else ''}><td>{escape(one.full_name)}<td>{one.scores['forecasts']}"
        f"<td>{_share(one.scores['wape'])}<td>{_share(one.scores['bias'])}<td>{one.scores['brier']:.4f}"
        f"<td>{one.scores['log_loss']:.4f}<td>{_share(one.scores['covered'])}"
        for one in candidates
        if one.scores
    )
    if not lines:
        return "<h2>Test</h2><p>History is too short for a walk-forward test.</p>"
    return (
        "<h2>Test</h2><table><tr><th>candidate<th>forecasts<th>WAPE<th>bias<th>Brier<th>log loss"
        f"<th>in the 80 % band{lines}</table>"
    )


def _calibration(proposed: CandidateBody) -> str:
    bins = proposed.scores.get("calibration")
    if not bins:
        return ""
    plot = calibration_plot([(b["forecast"], b["actual"], b["rows"]) for b in bins])
    return (
        f"<h2>Calibration of {escape(proposed.full_name)}</h2><figure>{plot}<figcaption>Share won against the chance "
        "forecast, in bins of like chances, each with its number of rows. On the line forecasts come true."
        "</figcaption></figure>"
    )


def _evidence(record: Record) -> str:
    answer = record.answer
    libraries = ", ".join(f"{name} {version}" for name, version in record.libraries.items())
    return (
        f"<h2>Evidence</h2><p class=small>Record <code>{answer.record}</code>, evidence digest "
        f"<code>{escape(answer.digest)}</code>, log root <code>{escape(answer.log.root)}</code> at position "
        f"{answer.log.position}, target {escape(answer.target)}, seed {record.seed}, {record.replicates} draws, "
        f"{escape(libraries)}.</p><p class=small>Adopt with <code>dealtrace rates adopt "
        f"{answer.record}:{escape(answer.recommended)} --reason ...</code></p>"
    )


def _percent(rate: StageEvidence | None) -> str:
    return "unknown" if rate is None or rate.rate is None else f"{rate.rate:.1%}"


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"
