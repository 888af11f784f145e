"""What another system has recorded, for the import."""

import random
from itertools import pairwise

from tests.importer.conftest import HEADERS


def history(seed: int) -> str:
    """A history of 30 deals, in the order of time."""
    chance = random.Random(f"soak {seed} history")
    lines = []
    for n in range(30):
        stages = ["First", "Second", "Third"]
        moves = [("created", "", "First"), ("Amount", "", str(chance.randint(1, 10**6)))]
        moves += [("Stage", a, b) for a, b in pairwise(stages)]
        moves += [("Owner", "", f"u{n % 7}"), ("Stage", "Third", chance.choice(["Won", "Lost", "Dropped"]))]
        for i, (name, old, new) in enumerate(moves):
            at = f"2026-01-{1 + i:02}T{n // 60:02}:{n % 60:02}:00Z"
            lines.append((at, f"d{n},{at},u{n % 5},{name},{old},{new}\n"))
    return HEADERS["history"] + "".join(line for _, line in sorted(lines))
