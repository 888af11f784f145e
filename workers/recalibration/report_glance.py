"""The report at a glance: the rates now and proposed, how much better, and how sure."""

from collections.abc import Sequence
from html import escape

from domain.recalibration.decision import LEAST_FORECASTS
from workers.recalibration.record import CandidateBody, Record


def at_a_glance(record: Record, proposed: CandidateBody, present: CandidateBody | None) -> str:
    answer = record.answer
    textbook = next((c for c in answer.candidates if c.name == "entry"), None)
    other = present or textbook
    kept = present is not None and proposed is present
    error, tested = proposed.scores.get("wape"), proposed.scores.get("forecasts", 0)
    compared = proposed.scores.get("compared", tested)
    gain = _gain(proposed, other, has_current=present is not None) if compared >= LEAST_FORECASTS else None
    if answer.current is None:
        now, since = "none in force", "the textbook rates (entry/1) stand in for them below"
    else:
        now, since = (
            f"set {answer.current.number}",
            f"in force since {answer.current.effective_from:%Y-%m-%d}",
        )
    against = "the rates in force" if present else "the textbook rates"
    tiles = [("Rates now", now, since)]
    tiles.append(("Proposed", "keep them" if kept else proposed.full_name, "adopting is your decision"))
    if error is None:
        untested = "no week is later than what they were learnt from" if kept else "history is too short"
        tiles.append(("Error on periods it was not fitted on", "not tested", untested))
    else:
        # Errors are set side by side only over the same forecasts, and enough of them.
        alike = gain is not None and not kept and other is not None and compared == tested
        was = other.scores.get("wape") if alike and other is not None else None
        more = [_forecasts(tested)]
        if was is not None:
            more.append(f"{against} {percentage(was)}")
        for one in answer.candidates:
            own = one.scores.get("deal_by_deal")
            if own and own["forecasts"] == tested:
                of = "" if one is proposed else f"{one.full_name} "
                more.append(f"{of}deal by deal {percentage(own['wape'])}")
        if expected := proposed.scores.get("expected"):
            more.append(f"{percentage(expected, 0)} of the actual is expected of deals still open")
        tiles.append(("Error on periods it was not fitted on", percentage(error), "; ".join(more)))
    if gain is not None and not kept:
        low, high = gain[1:]
        sure = (
            "percentage points, without an interval"
            if low is None or high is None
            else f"percentage points; 90 % interval {100 * low:.1f} to {100 * high:.1f}, over {_forecasts(compared)}"
        )
        way = f"{'Better' if gain[0] >= 0 else 'Worse'} than {against} by"
        tiles.append((way, f"{abs(100 * gain[0]):.1f} points", sure))
    held = proposed.scores.get("covered")
    if held is not None:
        tiles.append(
            (
                "Actuals in the 80 % band",
                percentage(held, 0),
                f"of {_forecasts(tested)}; 80 % would be right",
            )
        )
    return (
        f"<p class=lead>{_headline(answer.recommended, error, gain, against, compared, kept=kept)}</p>{_tiles(tiles)}"
        f"<p class=reason>{escape(answer.reason)}</p>"
    )


def _headline(
    name: str,
    error: float | None,
    gain: tuple[float, float | None, float | None] | None,
    against: str,
    compared: int,
    *,
    kept: bool,
) -> str:
    few = compared < LEAST_FORECASTS
    too_few = (
        f"{_forecasts(compared).capitalize()} could be compared, too few to tell candidates apart:"
        f" it takes {LEAST_FORECASTS}."
    )
    if kept and few:
        return f"<b>Keep the rates in force.</b> {too_few}"
    if kept:
        return "<b>Keep the rates in force.</b> No candidate was better by more than chance."
    if error is None:
        return f"<b>Take {escape(name)}.</b> History is too short to test it on periods that it was not fitted on."
    if few:
        return (
            f"<b>Take {escape(name)} by default.</b> {too_few} It is proposed because no rates are in"
            " force: the method that did best on the funnel it was chosen on."
        )
    if gain is None:
        return f"<b>Take {escape(name)}.</b> Its forecasts were off by {error:.1%} of what came in."
    surely = gain[1] is not None and gain[1] > 0
    way = "better" if gain[0] >= 0 else "worse"
    doubt = "" if surely else ", which may be chance"
    return (
        f"<b>Take {escape(name)}.</b> On periods it was not fitted on, its forecasts would have been off by"
        f" {error:.1%} of what came in: {abs(100 * gain[0]):.1f} percentage points {way} than {against}{doubt}."
    )


def _gain(
    proposed: CandidateBody, other: CandidateBody | None, *, has_current: bool
) -> tuple[float, float | None, float | None] | None:
    """By how much the WAPE of the proposed candidate is lower than the other one's, and its 90 % interval.

    Without rates in force improvements are measured against the default, so that the textbook's tells the other way.
    """
    if other is None or not proposed.scores or not other.scores or other is proposed:
        return None
    if has_current:
        gain = proposed.scores.get("improvement")
        return (
            None
            if gain is None
            else (gain, proposed.scores["improvement_low"], proposed.scores["improvement_high"])
        )
    gain = other.scores.get("improvement")
    if proposed.scores.get("improvement") is None and gain is not None:
        low, high = other.scores["improvement_low"], other.scores["improvement_high"]
        return -gain, None if high is None else -high, None if low is None else -low
    here, there = proposed.scores.get("wape"), other.scores.get("wape")
    return None if here is None or there is None else (there - here, None, None)


def _forecasts(number: int) -> str:
    return {0: "no weekly forecast", 1: "1 weekly forecast"}.get(number, f"{number} weekly forecasts")


def _tiles(tiles: Sequence[tuple[str, str, str]]) -> str:
    shown = (
        f"<div><dt>{escape(name)}</dt><dd>{escape(figure)}</dd><dd class=more>{escape(more)}</dd></div>"
        for name, figure, more in tiles
    )
    return f"<dl class=tiles>{''.join(shown)}</dl>"


def percentage(share: float | None, places: int = 1) -> str:
    """A share in words; nothing of None."""
    return "" if share is None else f"{share:.{places}%}"
