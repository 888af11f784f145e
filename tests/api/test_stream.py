"""The stream of changes: nothing missed, nothing doubled, nothing shown to who may not see it."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import msgspec
import psycopg
import pytest

from api import stream as streaming
from infra.postgres import Server
from tests.api.answers import problem
from tests.api.conftest import Api, serve
from tests.store.log import wait_until


class Followed:
    """A client of the stream: the events it got, and the id from which it would resume."""

    def __init__(self, api: Api, after: int | None = None, **headers: str) -> None:
        self._sent = api.client.stream(
            "GET",
            "/v1/stream" if after is None else f"/v1/stream?after={after}",
            headers=api.actor | {name.replace("_", "-"): value for name, value in headers.items()},
        )
        self.last_id: str | None = None

    def __enter__(self) -> "Followed":
        self.answer = self._sent.__enter__()
        assert self.answer.status_code == 200
        self._lines = self.answer.iter_lines()
        assert next(self._lines).startswith("retry: ")
        assert next(self._lines) == ""
        return self

    def __exit__(self, *error: object) -> None:
        self._sent.__exit__(*error)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The changes, as long as they come."""
        fields: dict[str, str] = {}
        for line in self._lines:
            name, _, value = line.partition(": ")
            fields[name] = value
            if line:
                continue
            self.last_id = fields.get("id", self.last_id)
            if "data" in fields:
                change = msgspec.json.decode(fields["data"])
                assert fields["id"].rpartition(".")[2] == str(change["position"])
                assert fields["event"] == change["topic"]
                yield change
            fields = {}

    def next(self, count: int) -> list[dict[str, Any]]:
        changes = iter(self)
        return [next(changes) for _ in range(count)]


def place(api: Api, position: int) -> str:
    """The id of the event at a position."""
    log = api.get("/v1/log").json()
    return f"{log['log_id'][:8]}.{log['epoch']}.{position}"


def renamed(api: Api, deal: str, name: str) -> int:
    answer = api.post(f"/v1/deals/{deal}/rename-deal", {"name": name}, If_Match="*")
    assert answer.is_success, answer.text
    return int(answer.json()["position"])


def test_a_change_says_what_happened_to_what_and_keeps_personal_text_back(api: Api) -> None:
    deal = api.open_deal(owner="rita")
    with Followed(api) as stream:
        renamed(api, deal, "Sensors for the Halvern dairy")
        (change,) = stream.next(1)
    assert change["topic"] == "deal.renamed"
    assert (change["stream"], change["deal_id"], change["version"]) == ("deal", deal, 2)
    assert change["actor"] == {"id": "anna", "role": "manager", "auth": "header"}
    assert change["data"]["name"].keys() == {"id", "sha256"}
    assert change["position"] == api.head()


def test_a_client_that_is_cut_off_again_and_again_misses_and_doubles_nothing(api: Api) -> None:
    deal, before = api.open_deal(), api.head()
    writer = threading.Thread(target=lambda: [renamed(api, deal, f"number {n}") for n in range(60)])
    writer.start()
    seen: list[int] = []
    last = place(api, before)
    while len(seen) < 60:
        with Followed(
            api, after=0, Last_Event_ID=last
        ) as stream:  # what a browser sends: the first address again
            seen += [change["position"] for change in stream.next(min(7, 60 - len(seen)))]
            last = str(stream.last_id)
    writer.join()
    assert seen == list(range(before + 1, before + 61))


def test_many_clients_get_the_same(api: Api) -> None:
    deal, before = api.open_deal(), api.head()

    def follow(_: int) -> list[int]:
        with httpx.Client(base_url=api.client.base_url, timeout=30) as client:
            other = Api(client, api.app, api.database, "rita", "rep")
            with Followed(other, after=before) as stream:
                return [change["position"] for change in stream.next(20)]

    with ThreadPoolExecutor(40) as pool:
        followed = pool.map(follow, range(40))
        for n in range(20):
            renamed(api, deal, f"number {n}")
        assert list(followed) == [list(range(before + 1, before + 21))] * 40


def test_who_resumes_from_the_beginning_reads_the_whole_log_in_order(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = api.head()
    with Followed(api.as_role("director"), after=0) as stream:
        assert [change["position"] for change in stream.next(head)] == list(range(1, head + 1))


def test_a_server_that_stops_ends_its_streams_and_another_one_goes_on(database: Server) -> None:
    with httpx.Client(timeout=30) as client:
        with serve(database) as first:
            admin = first.as_role("admin")
            admin.post("/v1/playbook/set-currency", {"currency": "EUR"})
            admin.post("/v1/playbook/set-inside-source-factor", {"factor": "0.5"}, If_Match="*")
            client.base_url = first.client.base_url
            stream = Followed(Api(client, first.app, database), after=0).__enter__()
            stream.next(2)
        assert list(stream) == []  # it came to its end, not to a broken connection
    with serve(database) as second, Followed(second, Last_Event_ID=str(stream.last_id)) as again:
        second.as_role("admin").post("/v1/playbook/set-cohort-window", {"weeks": 9}, If_Match="*")
        (change,) = again.next(1)
        assert (change["topic"], change["position"]) == ("playbook.cohort_window_set", 3)


def test_forecasts_reach_those_who_may_see_them_and_nobody_else(api: Api) -> None:
    deal = api.open_deal(owner="rita", expected_close="2027-06-30")
    before = api.head()
    body = {"amount": {"amount": "73911.37", "currency": "EUR"}, "reason": "they said so"}
    director = api.as_role("director")
    assert director.post(f"/v1/deals/{deal}/set-forecast", body, If_Match="*").is_success
    after = renamed(api, deal, "Sensors")

    def positions(viewer: Api, count: int) -> list[int]:
        with Followed(viewer, after=before) as stream:
            return [change["position"] for change in stream.next(count)]

    assert positions(director, 2) == [before + 1, after]
    assert positions(api.as_role("auditor"), 2) == [before + 1, after]
    owner = Api(api.client, api.app, api.database, "rita", "director")
    outside = Api(api.client, api.app, api.database, "nobody-s-manager", "manager")
    for blind in (api.as_role("rep"), owner, outside, api.as_role("integration")):
        assert positions(blind, 1) == [after]


def test_the_resume_point_moves_by_the_clock(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "HEARTBEAT_SECONDS", 0.05)
    with Followed(api) as stream:
        assert next(stream._lines) == f"id: {place(api, api.head())}"


def test_a_position_that_does_not_exist_is_refused(api: Api, unchanged_log: None) -> None:
    problem(api.get(f"/v1/stream?after={api.head() + 1}"), 400, "invalid-parameters")
    problem(api.get("/v1/stream?after=-1"), 400, "invalid-parameters")
    problem(api.get("/v1/stream?before=1"), 400, "invalid-parameters")
    problem(api.get("/v1/stream?after=0&epoch=0"), 400, "invalid-parameters")
    for text in ("later", "-1", "7", "9" * 30, place(api, 10**18), place(api, api.head() + 1)):
        headers = api.actor | {"Last-Event-ID": text}
        problem(api.client.get("/v1/stream", headers=headers), 400, "invalid-parameters")
    problem(api.client.get("/v1/stream"), 401, "unauthenticated")


def restored(database: Server, position: int) -> None:
    """What a server sees that goes on while a backup is restored which reaches up to the position."""
    with psycopg.connect(database.owner_url) as conn:
        conn.execute("DELETE FROM dealtrace.events WHERE notification_id > %s", [position])
        conn.execute("UPDATE dealtrace.log_head SET position = %s, epoch = epoch + 1", [position])
        conn.execute("INSERT INTO dealtrace.epochs SELECT epoch, position FROM dealtrace.log_head")


def weeks(api: Api, *numbers: int) -> None:
    """A change of the playbook for each of these numbers."""
    for number in numbers:
        done = api.as_role("admin").post("/v1/playbook/set-cohort-window", {"weeks": number}, If_Match="*")
        assert done.is_success, done.text


_OF_TOMORROW = """
INSERT INTO dealtrace.events (originator_id, originator_version, topic, state, notification_id, recorded_at)
SELECT originator_id, originator_version + 1, 'of.tomorrow', state, notification_id + 1, recorded_at
FROM dealtrace.events ORDER BY notification_id DESC LIMIT 1"""


def test_a_stream_waits_at_an_event_that_can_not_be_read_and_goes_on_once_it_can(
    database: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(database) as api, Followed(api, after=api.head()) as stream:
        weeks(api, 5)
        stream.next(1)
        with psycopg.connect(database.owner_url) as conn:
            conn.execute(_OF_TOMORROW)
            conn.execute("UPDATE dealtrace.log_head SET position = position + 1")
        wait_until(lambda: "'of.tomorrow'" in caplog.text)
        with psycopg.connect(database.owner_url) as conn:
            conn.execute(
                "UPDATE dealtrace.events SET topic = 'playbook.cohort_window_set' WHERE topic = 'of.tomorrow'"
            )
        weeks(api, 6)
        assert [change["data"]["weeks"] for change in stream.next(2)] == [5, 6]


def test_after_a_restore_nobody_takes_other_events_for_those_after_what_it_knows(database: Server) -> None:
    with serve(database) as api:
        weeks(api, *range(5, 15))
        with Followed(api, after=0) as stream:
            stream.next(10)
            weeks(api, 16)
            stream.next(1)
            known = [place(api, position) for position in range(12)]
            restored(database, 4)
            weeks(api, *range(30, 40))
            assert list(stream) == [], "it comes to its end"
        for position in range(5, 12):
            refused = api.client.get("/v1/stream", headers=api.actor | {"Last-Event-ID": known[position]})
            assert problem(refused, 409, "log-restored")["accepted"].startswith(f"{place(api, 4)}, ")
            refused = api.get(f"/v1/stream?after={position}&epoch=1")
            assert problem(refused, 409, "log-restored")["accepted"].startswith("4, ")
        for resumed in (known[4], place(api, 4)):
            with Followed(api, Last_Event_ID=resumed) as stream:
                assert [change["data"]["weeks"] for change in stream.next(10)] == list(range(30, 40))


def test_the_place_in_another_log_or_in_an_epoch_that_is_not_in_its_past_is_refused(database: Server) -> None:
    with serve(database) as api:
        weeks(api, *range(5, 15))
        restored(database, 4)
        log, epoch, _ = place(api, 0).split(".")
        for text in (f"{int(log, 16) ^ 1:08x}.{epoch}.3", f"{log}.{int(epoch) + 1}.3"):
            refused = api.client.get("/v1/stream", headers=api.actor | {"Last-Event-ID": text})
            assert problem(refused, 409, "log-restored")["accepted"].startswith(f"{place(api, 0)}, ")
