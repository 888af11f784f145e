"""Whether evidence is good enough to replace the rates in force."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from domain.recalibration.scorecard import Scorecard

NEVER_RECOMMENDED = frozenset({"f1_match/1"})
"""Adoptable by choice: it follows what managers believe, not what happened."""
DEFAULT = "survivor/2"
"""Stands in for the rates in force where there are none; chosen on one real funnel, see docs/adr."""
LEAST_FORECASTS = 4
"""Weekly forecasts that must have been scored before a test may overturn anything."""


@dataclass(frozen=True)
class Decision:
    """The candidate to adopt, or `current` to keep it; and why, in a sentence."""

    recommended: str
    reason: str


def incumbent(names: Collection[str]) -> str:
    """What all others are compared with: the rates in force, or the default where there are none."""
    return "current" if "current" in names else DEFAULT


def decide(scores: Mapping[str, Scorecard], candidates: Collection[str]) -> Decision:
    """Replace the incumbent only by a candidate whose WAPE is better by more than chance (the 90 % interval of
    the improvement lies above 0) and whose log loss is not worse; of several, the one that improves it most.

    Rates in force are compared on weeks after the history that they were learnt from: on those weeks themselves
    they would look better than they are, and whatever was adopted would be kept.

    candidates   names of all that could be fitted, tested or not
    """
    kept = incumbent(candidates)
    stays = f"Keep {kept}" if kept == "current" else f"No rates are in force; take {kept} by default"
    base = scores.get(kept)
    rivals = {name: card for name, card in scores.items() if name not in NEVER_RECOMMENDED | {kept}}
    if base is None or not rivals or base.forecasts < LEAST_FORECASTS:
        weeks = 0 if base is None else base.forecasts
        counted = "1 weekly forecast" if weeks == 1 else f"{weeks} weekly forecasts"
        return Decision(
            kept,
            f"{stays}: {counted}{_later(kept)} could be scored, fewer than {LEAST_FORECASTS} decide nothing.",
        )
    better = {name: card for name, card in rivals.items() if _better(card)}
    if not better:
        closest = max(sorted(rivals), key=lambda name: _gain(rivals[name]))
        return Decision(kept, f"{stays}: {_why_not(closest, rivals[closest])}")
    best = max(sorted(better), key=lambda name: _gain(better[name]))
    card = better[best]
    return Decision(
        best,
        f"{best} lowers WAPE by {_points(card.improvement)} percentage points against {kept} (90 % interval "
        f"{_points(card.improvement_low)} to {_points(card.improvement_high)}) without a worse log loss, over {card.compared} "
        f"weekly forecasts{_later(kept)}.",
    )


def _points(difference: float | None) -> str:
    """A difference of two shares: percentage points, never percent of one of them."""
    return "" if difference is None else f"{100 * difference:.1f}"


def _later(kept: str) -> str:
    return " later than what the rates in force were learnt from" if kept == "current" else ""


def _better(card: Scorecard) -> bool:
    surely = card.improvement_low is not None and card.improvement_low > 0
    return surely and card.log_loss_gain is not None and card.log_loss_gain >= 0


def _gain(card: Scorecard) -> float:
    return float("-inf") if card.improvement is None else card.improvement


def _why_not(name: str, card: Scorecard) -> str:
    if card.improvement_low is None or card.improvement is None:
        return f"{name} could not be compared, since nothing was won in the weeks tested."
    if card.improvement <= 0:
        return f"{name} came nearest and has a WAPE {_points(-card.improvement)} percentage points higher."
    if card.improvement_low <= 0:
        return (
            f"the improvement of WAPE by {name} ({_points(card.improvement)} percentage points) may be chance: its "
            f"90 % interval is {_points(card.improvement_low)} to {_points(card.improvement_high)}."
        )
    return f"{name} has a lower WAPE but a log loss that is worse by {-(card.log_loss_gain or 0.0):.4f}."
