"""The figures of the report: which plot, of which columns of the record, and what it says in words."""

from html import escape

from workers.recalibration.charts import Line, RateRow, calibration_plot, dwell_plot, lines_plot, rates_plot
from workers.recalibration.record import CandidateBody, Record

LEAST_TO_DRAW = 0.005
"""Share of the actual that must have come with so many weeks left."""


def weeks_figure(record: Record, beside: CandidateBody, proposed: CandidateBody, *, managers: bool) -> str:
    weeks = record.tested
    if len(weeks) < 2:
        return _figure("Forecast and actual by week", "", "Too few weeks could be tested to draw them.")
    name, other = proposed.full_name, beside.full_name
    fans = [None if w.low is None or w.high is None else (w.low, w.high) for w in weeks]
    lines = [
        Line("actual", [w.actual for w in weeks], "solid", "disc"),
        Line(f"F2, {name} (proposed)", [w.forecasts.get(name) for w in weeks], "dashed", "ring", True, fans),
    ]
    if other != name:
        called = "in force" if beside.name == "current" else "textbook"
        lines.append(
            Line(f"F2, {other} ({called})", [w.forecasts.get(other) for w in weeks], "dotted", "triangle")
        )
    with_f1 = managers and any(w.f1 is not None for w in weeks)
    if with_f1:
        lines.append(Line("F1, managers", [w.f1 for w in weeks], "dashdot", "square"))
    said = "What the pipeline of each week end was forecast to bring in, fitted on what was known before, and what came."
    notes = [said, "Shaded: the 80 % band of the proposed. Deals still open count with their expectation."]
    if with_f1:
        had, all_deals = sum(w.f1_deals for w in weeks), sum(w.deals for w in weeks)
        notes.append(f"F1 sums what managers forecast, for {had / all_deals:.0%} of these deals.")
    elif any(w.f1 is not None for w in weeks):
        notes.append("F1 is left out of this copy.")
    else:
        notes.append("No manager's forecast was in force for these deals, so there is no F1.")
    title, labels = (
        "Forecast and actual by week",
        [f"{w.at:%y-%m-%d}" if len(weeks) > 52 else f"{w.at:%m-%d}" for w in weeks],
    )
    plot = "".join(
        f"<div class={kind}>{lines_plot(labels, lines, title, said, f'weeks-{kind}', width=width)}</div>"
        for kind, width in (("roomy", 960), ("tight", 460))
    )
    return _figure(title, plot, " ".join(notes), kind="across")


def errors_figure(record: Record, beside: CandidateBody, proposed: CandidateBody) -> str:
    title = "Error by weeks before close"
    told = [(proposed.full_name, proposed.scores, "dashed", "ring")]
    if own := proposed.scores.get("deal_by_deal"):
        told.append((f"{proposed.full_name}, deal by deal", own, "solid", "disc"))
    if beside is not proposed:
        told.append((beside.full_name, beside.scores, "dotted", "triangle"))
    errors = [
        (name, {w["weeks"]: w for w in scores["by_weeks_left"]}, dash, kind)
        for name, scores, dash, kind in told
        if scores.get("by_weeks_left")
    ]
    # So far before the close that next to nothing came of it, an error is a share of next to nothing.
    weeks = sorted(
        {w for _, of, _, _ in errors for w in of if of[w]["actual"] >= LEAST_TO_DRAW}, reverse=True
    )
    if len(weeks) < 2:
        return _figure(title, "", "Too few weeks could be tested to draw them.")
    lines = [
        Line(name, [None if w not in of else of[w]["wape"] for w in weeks], dash, kind, kind == "ring")  # type: ignore[arg-type]
        for name, of, dash, kind in errors
    ]
    said = "WAPE of the weekly forecasts, by whole weeks from the forecast to " + (
        "the close of each deal. Nobody knew when a deal would close, and the quick are won more often: part of this"
        " error is of that."
        if record.answer.target == "T1"
        else "the end of its month. Rates know the stage of a deal and its age, not how many weeks it has left."
    )
    plot = lines_plot([str(w) for w in weeks], lines, title, said, "errors", percent=True, below="weeks left")
    return _figure(title, plot, said)


def rates_figure(beside: CandidateBody, proposed: CandidateBody) -> str:
    old = {(r.stage, r.age): r for r in beside.rates}
    rows = []
    for rate in proposed.rates:
        before = old.get((rate.stage, rate.age)) or old.get((rate.stage, None))
        label = (
            rate.stage if rate.age is None else f"{rate.stage}, fresh" if rate.age == "fresh" else rate.age
        )
        rows.append(
            RateRow(
                label,
                (None, None, None) if before is None else (before.low, before.rate, before.high),
                (rate.low, rate.rate, rate.high),
            )
        )
    said = "The chance to win of a deal found in the stage, with its 90 % interval."
    plot = rates_plot(
        rows, beside.full_name, f"{proposed.full_name} (proposed)", "Rates, old and new", said, "rates"
    )
    return _figure("Rates, old and new", plot, said)


def dwell_figure(record: Record) -> str:
    if not any(stage.completed or stage.open for stage in record.dwell):
        return ""
    said = (
        "Box: the middle half of all visits, with the median; line: up to nine in ten (Kaplan-Meier, open visits"
        " included). Ticks: the deals open now, at their age."
    )
    plot = dwell_plot(record.dwell, "Days in each stage, and the open deals", said, "dwell")
    return _figure("Days in each stage, and the open deals", plot, said)


def calibration_figure(proposed: CandidateBody) -> str:
    bins = proposed.scores.get("calibration")
    if not bins:
        return ""
    title = f"Calibration of {proposed.full_name}"
    said = "Share won against the chance forecast, in bins of like chances, each with its number of rows."
    plot = calibration_plot(
        [(b["forecast"], b["actual"], b["rows"]) for b in bins], title, said, "calibration"
    )
    return _figure(title, plot, f"{said} On the dotted line forecasts come true.", kind="square")


def _figure(title: str, plot: str, caption: str, kind: str = "") -> str:
    of_kind = f" class={kind}" if kind else ""
    return (
        f"<figure{of_kind}><h2>{escape(title)}</h2>{plot}<figcaption>{escape(caption)}</figcaption></figure>"
    )
