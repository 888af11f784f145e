"""Everything once on some server: import, projections, commands and queries over HTTP, a rebuild, digests."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from domain.event import Recorded
from infra.connection import LogConnection
from infra.event_store import read_head
from infra.executor import Executor
from infra.log_reader import read_window
from infra.postgres import Server
from projections.engine.catalogue import catalogue
from projections.engine.connecting import connect
from projections.engine.digests import digest, replay
from projections.engine.rebuilding import rebuild
from projections.engine.status import status
from tests.api.conftest import Api, serve
from tests.store.log import wait_until
from workers.first_start import fill_empty_log
from workers.importer import load_mapping, run_import
from workers.projector import Projector

SAMPLE = Path(__file__).parents[2] / "examples" / "hubspot"


def import_sample(server: Server) -> int:
    """Import both files of an example; how many events came into the log."""
    mapping = load_mapping(SAMPLE / "mapping.toml")
    with closing(LogConnection(server.app_url)) as log:
        executor = Executor(log)
        return sum(
            run_import(executor, log, SAMPLE / file, mapping, kind).events
            for file, kind in (("deal_property_history.csv", "history"), ("activities.csv", "activities"))
        )


@contextmanager
def projecting(server: Server) -> Iterator[None]:
    """A projector follows the log while the block runs."""
    stop = threading.Event()
    thread = threading.Thread(target=Projector(server.app_url).run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()


def log_of(server: Server) -> list[Recorded]:
    """The whole log."""
    with connect(server.app_url) as conn:
        return read_window(conn, 0, read_head(conn).position)


def digests(server: Server) -> dict[str, str]:
    """The digest of every projection's live tables."""
    with connect(server.app_url) as conn:
        assert all(found.complete for found in status(conn))
        return {name: digest(conn, projection) for name, projection in catalogue().items()}


def seen(api: Api, deal: str, position: int) -> dict[str, Any]:
    """The deal as soon as the answer reflects the position; on a busy machine that takes more than one asking."""
    address = f"/v1/deals/{deal}?min_position={position}"
    wait_until(lambda: api.get(address).status_code != 503)
    return dict(api.get(address).raise_for_status().json())


def do_everything(server: Server) -> None:
    """Use a migrated, empty database for all there is; the projections must hold what a replay of the log gives."""
    fill_empty_log(server.app_url)
    assert import_sample(server) > 10
    assert import_sample(server) == 0, "the second time every row is in the log already"
    with serve(server) as api, projecting(server):
        for number in range(12):
            deal = api.open_deal(amount={"amount": f"{number + 1}.50", "currency": "USD"})
            done = api.post(
                f"/v1/deals/{deal}/revise-amount",
                {"amount": {"amount": "100.00", "currency": "USD"}},
                If_Match='"1"',
                Idempotency_Key=f"key-{number}",
            )
            assert done.status_code == 200, done.text
            assert seen(api, deal, done.json()["position"])["version"] == 2
        again = api.post(
            f"/v1/deals/{deal}/revise-amount",
            {"amount": {"amount": "100.00", "currency": "USD"}},
            If_Match='"1"',
            Idempotency_Key="key-11",
        )
        assert again.headers["Idempotency-Replayed"] == "true"
        assert api.get("/v1/funnels/tas_plus/snapshot").json()["total"]["deals"] >= 12
        rebuild(server.app_url, processes=2)
        deal = api.open_deal()
        assert seen(api, deal, api.head())["version"] == 1
    assert digests(server) == replay(log_of(server))
