"""Whatever was written by any release is folded today to the rows that it was folded to then."""

import msgspec
import pytest

from projections.engine.catalogue import catalogue
from tests.contracts.golden_log import FILE, SAMPLES, Digests, digests_now, parked_now

PINNED: Digests = msgspec.json.decode(FILE.read_bytes(), type=Digests)
RENEW = "python -m tests.contracts.golden_log (read there when that is right)"


@pytest.mark.parametrize("sample", [f"{s.parent.name}/{s.stem}" for s in SAMPLES])
def test_every_schema_of_every_event_is_folded_to_the_same_rows_for_ever(sample: str) -> None:
    assert sample in PINNED, f"a new event or schema: {RENEW}"
    now, then = digests_now()[sample], PINNED[sample]
    assert now.keys() == then.keys(), f"a projection is new, gone or of another version: {RENEW}"
    changed = [name for name, digest in now.items() if then[name] != digest]
    assert changed == [], "these make other rows of an old event than before, so they need another version"


def test_no_projection_parks_an_event_that_was_ever_written() -> None:
    assert parked_now() == []


def test_what_was_written_once_stays_in_the_golden_log() -> None:
    assert PINNED.keys() <= digests_now().keys()


def test_every_projection_is_in_the_golden_log() -> None:
    seen = {name for pinned in PINNED.values() for name in pinned}
    assert {f"{p.name} v{p.version}" for p in catalogue().values()} == seen
