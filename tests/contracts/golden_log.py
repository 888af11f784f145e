"""The golden log: every event in every schema that was ever written, and what every projection makes of it.

Each sample of `events/` follows the event that opens its aggregate. `log_digests.json` holds, for each, the digest of
every projection that handles it; the rows of projections are thereby those of the release that wrote the sample.

    python -m tests.contracts.golden_log

writes that file anew. Do it after adding an event or a projection, or when a projection got another version; never
because a digest changed: then tables in use would differ from those that a rebuild makes, so that it is another
version. Read what changed in the file before it goes in.
"""

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from uuid import UUID

import msgspec

from domain.event import Recorded
from domain.manager_forecast import forecast_stream
from domain.registry import AGGREGATE_OF, EVENTS
from infra.mapper import decode
from projections.engine.catalogue import catalogue
from projections.engine.digests import replay
from projections.engine.folding import fold_key

SAMPLES = sorted(Path(__file__).with_name("events").glob("*/*.json"))
FILE = Path(__file__).with_name("log_digests.json")
OPENING = {"deal": "deal.opened", "forecast": "deal.opened", "account": "account.opened"}
"""What the first event of an aggregate must be; the others' may come in any order."""
BEFORE = {
    "deal.contact_attitude_changed": "deal.contact_added",
    "deal.contact_removed": "deal.contact_added",
    "deal.contact_revised": "deal.contact_added",
    "deal.contact_strategy_changed": "deal.contact_added",
    "deal.item_unticked": "deal.item_ticked",
    "organisation.manager_appointed": "organisation.team_created",
    "organisation.team_revised": "organisation.team_created",
    "playbook.funnel_retired": "playbook.funnel_defined",
}
"""What must have happened besides, where an event is about something that another one brought."""

Digests = dict[str, dict[str, str]]
"""By `topic/schema`, and by the projection with its version."""

_RECORDED_AT = datetime(2026, 3, 2, 9, 32, tzinfo=UTC)


def golden_log(sample: Path) -> list[Recorded]:
    """The sample behind the event that opens its aggregate, as the log gives them back today."""
    topic = sample.parent.name
    before = [OPENING.get(AGGREGATE_OF[EVENTS[topic]].name, topic), BEFORE.get(topic, topic)]
    states = [sample.parents[1] / first / "1.json" for first in before if first != topic] + [sample]
    log: list[Recorded] = []
    for position, state in enumerate(states, 1):
        found = _read(position, state)
        version = 1 + sum(e.stream_id == found.stream_id for e in log)
        log.append(msgspec.structs.replace(found, version=version))
    return log


def _read(position: int, sample: Path) -> Recorded:
    topic, state = sample.parent.name, sample.read_bytes()
    key = UUID(msgspec.json.decode(state)["meta"]["partition_key"])
    stream = forecast_stream(key) if topic.startswith("forecast.") else key
    return decode(position, stream, 1, topic, _RECORDED_AT + timedelta(seconds=position), state)


@cache
def digests_now() -> Digests:
    """What this release makes of the golden log."""
    found: Digests = {}
    for sample in SAMPLES:
        topic = sample.parent.name
        handling = [p for p in catalogue().values() if topic in p.topics]
        replayed = replay(golden_log(sample), handling)
        found[f"{topic}/{sample.stem}"] = {f"{p.name} v{p.version}": replayed[p.name] for p in handling}
    return found


def parked_now() -> list[str]:
    """Samples on which a fold raises."""
    found = []
    for sample in SAMPLES:
        log = golden_log(sample)
        for projection in catalogue().values():
            handled = [e for e in log if e.topic in projection.topics]
            if error := fold_key(projection, None, {}, handled).error:
                found.append(f"{sample.parent.name}/{sample.stem} in {projection.name}: {error}")
    return found


if __name__ == "__main__":
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(digests_now()), indent=1) + b"\n")
