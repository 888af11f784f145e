"""What a check found."""

from typing import Literal

import msgspec

Verdict = Literal["ok", "skipped", "warning", "problem"]


class Finding(msgspec.Struct, frozen=True):
    """One check: its name, how it ended, what was found as a sentence, and what to do about it.

    `skipped` is what could not be looked at, because of what another finding says or because it lies elsewhere.
    """

    check: str
    verdict: Verdict
    sentence: str
    hint: str = ""


class Examination(msgspec.Struct, frozen=True):
    """All findings; `verdict` is the worst of them, where nothing skipped counts."""

    verdict: Verdict
    findings: tuple[Finding, ...]


def worst(findings: list[Finding]) -> Examination:
    """The findings and the worst verdict among them."""
    found = {finding.verdict for finding in findings}
    verdict: Verdict = "problem" if "problem" in found else "warning" if "warning" in found else "ok"
    return Examination(verdict, tuple(findings))


def listed(words: list[str], most: int = 5) -> str:
    """At most so many of the words, and how many more there are."""
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more
