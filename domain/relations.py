"""People at the customer and how we stand with them (A8): the words for it, and how deep an interaction goes.

Source: the relationship map of Target Account Selling plus. Thresholds and default strategies are ours.
"""

from typing import Literal

import msgspec

Attitude = Literal["strongly_positive", "positive", "neutral", "negative", "strongly_negative"]
"""How a person stands to us, overall and on one deal, in five steps."""

Orientation = Literal[
    "professional", "pragmatic", "professional_pragmatic", "pragmatic_professional", "balanced"
]
"""What a person goes by: the better solution, the better bargain, or both. A trait of the person, on the account."""

DecisionRole = Literal["approver", "decider", "evaluator", "user"]
"""A person's part in the decision on one deal."""

Power = Literal["collaborate", "manage", "approve", "control"]
"""What a person's department may do on one deal, the least first."""

Strategy = Literal["suppress", "defend", "motivate", "attack", "balance"]
"""What we do about a person on one deal."""

Depth = Literal["never", "occasional", "repeated", "deep"]
"""How deep the interaction with a person goes; derived from activities, never set by hand."""


class AttitudeStrategy(msgspec.Struct, frozen=True):
    """The strategy that an attitude suggests."""

    attitude: Attitude
    strategy: Strategy


DEFAULT_STRATEGIES = (
    AttitudeStrategy("strongly_positive", "motivate"),
    AttitudeStrategy("positive", "defend"),
    AttitudeStrategy("neutral", "balance"),
    AttitudeStrategy("negative", "attack"),
    AttitudeStrategy("strongly_negative", "suppress"),
)


class DepthRules(msgspec.Struct, frozen=True):
    """What counts as interaction, and from how many contacts within `window_days` on it goes how deep.

    Only activities of a two-way kind count; `deep` also needs one that was face to face.
    """

    two_way: tuple[str, ...] = ("outbound_call", "online", "visit", "presentation", "site_visit")
    face_to_face: tuple[str, ...] = ("visit", "presentation", "site_visit")
    window_days: int = 180
    occasional_from: int = 1
    repeated_from: int = 3
    deep_from: int = 6


DEPTH_FORMULA = "depth/1"


def depth(two_way: int, face_to_face: int, rules: DepthRules) -> Depth:
    """The depth by the number of two-way contacts in the window, and how many of them were face to face."""
    if two_way >= rules.deep_from and face_to_face > 0:
        return "deep"
    if two_way >= rules.repeated_from:
        return "repeated"
    return "occasional" if two_way >= rules.occasional_from else "never"
