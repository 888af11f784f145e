"""The digest that names a record of recalibration: the same for the same history, however it was computed."""

import hashlib
import json
from collections.abc import Mapping

from domain.recalibration.columns import Ints
from domain.recalibration.rates import Counts, Rates

Parameter = str | int | None | list[str] | list[int]


def evidence_digest(
    parameters: Mapping[str, Parameter], counts: Mapping[str, Counts], rates: Mapping[str, Rates]
) -> str:
    """SHA-256, in hex, over the parameters, the integer counts and the rounded rates of every candidate.

    Scores and intervals stay outside, with the seed and the number of draws that move only them: they rest on sums of
    fractions. Canonical JSON: sorted keys, no blanks.
    """
    content = {
        "parameters": dict(parameters),
        "counts": {
            name: {key: _listed(column) for key, column in vars(of).items()} for name, of in counts.items()
        },
        "rates": {name: _listed(of.micros) for name, of in rates.items()},
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _listed(column: Ints) -> list[list[int]]:
    return [[int(value) for value in row] for row in column]
