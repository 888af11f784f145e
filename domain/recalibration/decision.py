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
    the improvement lies above 0) and whose log loss is not worse; of several, the one of the least WAPE.

    candidates   names of all that could be fitted, tested or not
    """
    kept = incumbent(candidates)
    stays = f"Keep {kept}" if kept == "current" else f"No rates are in force; take {kept} by default"
    base = scores.get(kept)
    rivals = {name: card for name, card in scores.items() if name not in NEVER_RECOMMENDED | {kept}}
    if base is None or not rivals or base.forecasts < LEAST_FORECASTS:
        weeks = 0 if base is None else base.forecasts
        return Decision(
            kept,
            f"{stays}: {weeks} weekly forecasts could be scored, fewer than {LEAST_FORECASTS} decide nothing.",
        )
    better = {name: card for name, card in rivals.items() if _better(card, base)}
    if not better:
        closest = min(rivals, key=lambda name: (_error(rivals[name]), name))
        return Decision(kept, f"{stays}: {_why_not(closest, rivals[closest], base)}")
    best = min(better, key=lambda name: (_error(better[name]), name))
    card = better[best]
    return Decision(
        best,
        f"{best} lowers WAPE by {card.improvement:.1%} against {kept} (90 % interval {card.improvement_low:.1%} to "
        f"{card.improvement_high:.1%}) without a worse log loss.",
    )


def _better(card: Scorecard, current: Scorecard) -> bool:
    return card.improvement_low is not None and card.improvement_low > 0 and card.log_loss <= current.log_loss


def _error(card: Scorecard) -> float:
    return float("inf") if card.wape is None else card.wape


def _why_not(name: str, card: Scorecard, current: Scorecard) -> str:
    if card.improvement_low is None or card.improvement is None:
        return f"{name} could not be compared, since nothing was won in the weeks tested."
    if card.improvement <= 0:
        return f"{name} came nearest and has a WAPE {-card.improvement:.1%} higher."
    if card.improvement_low <= 0:
        return (
            f"the improvement of WAPE by {name} ({card.improvement:.1%}) may be chance: its 90 % interval is "
            f"{card.improvement_low:.1%} to {card.improvement_high:.1%}."
        )
    return (
        f"{name} has a lower WAPE but a worse log loss ({card.log_loss:.4f} against {current.log_loss:.4f})."
    )
