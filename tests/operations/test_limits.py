"""Too much, too slow, or told to stop: what was accepted is done within bounded time, the rest is told at once."""

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from starlette.responses import PlainTextResponse

import api.body
from api.app import create_app
from api.load import Load
from api.trace import TraceRequests
from domain.deal import OpenDeal
from domain.errors import Overloaded
from infra.connection import LogConnection
from infra.executor import Executor
from infra.group_commit import GroupCommit
from infra.postgres import Server
from infra.readers import Readers
from infra.requests import Result
from tests.cli.conftest import program_on
from tests.operations.servers import serving
from tests.operations.whole import log_of
from tests.store.log import Log, Running, ask, wait_until
from workers.first_start import fill_empty_log

ACTOR = {"X-Actor-Id": "anna", "X-Actor-Role": "rep"}


@pytest.fixture
def log(database: Server) -> Iterator[Log]:
    log = Log(database)
    log.start()
    yield log
    log.close()


def refused_for_now(answer: httpx.Response) -> bool:
    """Whether the answer says `later`; if so it says when."""
    if answer.status_code != 503:
        return False
    assert answer.json()["code"] == "overloaded"
    assert int(answer.headers["Retry-After"]) > 0
    return True


async def soon(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Return when it is so."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 -- nobody sets an event for these
            await asyncio.sleep(0.01)


@pytest.mark.anyio
async def test_a_flood_of_commands_is_refused_at_once_and_what_was_accepted_is_done(log: Log) -> None:
    room, many = 20, 100
    before = len(log.events())
    with (
        closing(LogConnection(log.app_url)) as connection,
        closing(GroupCommit(Executor(connection), max_waiting=room)) as group,
        closing(Readers(log.app_url)) as readers,
    ):
        app: Any = create_app(group_commit=group, readers=readers, host="127.0.0.1")
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://127.0.0.1", headers=ACTOR
        ) as client:

            async def open_deal() -> httpx.Response:
                return await client.post("/v1/deals", json={"funnel": "tas_plus"})

            with log.held():  # a database that does not get on
                first = asyncio.create_task(open_deal())
                await soon(lambda: not group.waiting and first_is_taken(log))
                all_of_them = [asyncio.create_task(open_deal()) for _ in range(many)]
                await soon(lambda: sum(task.done() for task in all_of_them) == many - room)
                assert group.waiting == room
            answers = [await task for task in [first, *all_of_them]]
    refused = [answer for answer in answers if refused_for_now(answer)]
    accepted = [answer for answer in answers if answer.status_code == 201]
    assert (len(refused), len(accepted)) == (many - room, room + 1)
    assert len(log.events()) == before + len(accepted)
    assert {a.json()["deal_id"] for a in accepted} == {str(e.stream_id) for e in log.events()[before:]}


def first_is_taken(log: Log) -> bool:
    """Whether somebody waits for the head of the log."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(log.query(waiting)[0][0])


def test_what_waits_is_counted_in_commands_however_they_are_bundled(log: Log) -> None:
    with (
        closing(LogConnection(log.app_url)) as connection,
        closing(GroupCommit(Executor(connection), max_waiting=10, max_group=5)) as group,
    ):
        taken: list[Any] = []
        batch = ask(*[OpenDeal(funnel="tas_plus")] * 4)
        with log.held():
            group.submit(batch, 0, taken.extend)
            wait_until(lambda: group.waiting == 0)
            for number in (1, 2):
                group.submit(batch, number, taken.extend)
            assert group.waiting == 8
            with pytest.raises(Overloaded):
                group.submit(batch, 3, taken.extend)
            group.submit(ask(OpenDeal(funnel="tas_plus")), 4, taken.extend)
        wait_until(lambda: len(taken) == 4)
    assert [token for token, _ in taken] == [0, 1, 2, 4]
    assert all(isinstance(answer, Result) for _, answer in taken)


def test_when_the_database_stays_away_all_who_wait_hear_so_together(database: Server) -> None:
    patience, nowhere = 0.5, "postgresql://nobody@127.0.0.1:1/nothing"
    with (
        closing(LogConnection(nowhere, patience=patience)) as connection,
        closing(GroupCommit(Executor(connection), max_group=1)) as group,
    ):
        taken: list[Any] = []
        began = time.monotonic()
        for number in range(200):
            group.submit(ask(OpenDeal(funnel="tas_plus")), number, taken.extend)
        wait_until(lambda: len(taken) == 200)
        assert time.monotonic() - began < 100 * patience, "not 200 times the patience"
    assert all(isinstance(error, psycopg.OperationalError) for _, error in taken)


@pytest.mark.anyio
async def test_queries_that_would_wait_too_long_are_refused(database: Server) -> None:
    patience, began, end = 3.0, threading.Event(), threading.Event()

    def slow(_: psycopg.Connection[Any]) -> str:
        began.set()
        return "done" if end.wait(60) else "never told"

    with closing(Readers(database.app_url, readers=1, max_waiting=5, patience=patience)) as readers:
        first = asyncio.create_task(readers.run(slow))
        await soon(began.is_set)
        others = [asyncio.create_task(readers.run(slow)) for _ in range(7)]
        await asyncio.sleep(patience + 0.2)  # for so long nothing comes
        end.set()
        assert await first == "done"
        answers = await asyncio.gather(*others, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Overloaded] * 7
    assert {str(answer) for answer in answers[:4]} == {"Queries wait too long."}
    assert {str(answer) for answer in answers[4:]} == {"Too many queries wait already."}


@pytest.mark.anyio
async def test_every_statement_has_a_limit_of_time(database: Server) -> None:
    with closing(Readers(database.app_url)) as readers:
        limit = await readers.run(lambda conn: conn.execute("SHOW statement_timeout").fetchone())
    assert limit == ("20s",)
    with closing(LogConnection(database.app_url)) as log:
        assert log.run(lambda conn: conn.execute("SHOW statement_timeout").fetchone()) == ("20s",)


@pytest.mark.anyio
async def test_a_query_is_planned_for_what_it_asks_however_often_it_came(database: Server) -> None:
    with closing(Readers(database.app_url, readers=1)) as readers:
        for version in range(20):
            await readers.run(
                lambda conn, asked=version: conn.execute(
                    "SELECT FROM dealtrace.events WHERE originator_version > %s", [asked]
                )
            )
        plans = await readers.run(
            lambda conn: conn.execute(
                "SELECT sum(generic_plans), sum(custom_plans) > 0 FROM pg_prepared_statements"
            ).fetchone()
        )
    assert plans == (0, True)


@pytest.mark.anyio
async def test_more_requests_than_there_is_room_for_are_refused_but_not_who_only_looks() -> None:
    free = asyncio.Event()

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await free.wait()
        await PlainTextResponse("done")(scope, receive, send)

    app = TraceRequests(waits, Load(most=2))
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        slow = [asyncio.create_task(client.get("/slow")) for _ in range(2)]
        await asyncio.sleep(0)
        assert refused_for_now(await client.get("/v1/deals"))
        assert (await client.get("/health")).status_code == 200
        free.set()
        assert [(await answer).status_code for answer in slow] == [200, 200]
        assert (await client.get("/v1/deals")).status_code == 200


@pytest.mark.anyio
async def test_the_bodies_being_read_have_a_limit_together(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.body, "MOST_AT_ONCE", 1000)
    go_on = asyncio.Event()

    async def slowly() -> Any:
        yield b'{"funnel": "tas_plus", '
        yield b" " * 900
        await go_on.wait()
        yield b'"name": "patience"}'

    with (
        closing(LogConnection(log.app_url)) as connection,
        closing(GroupCommit(Executor(connection))) as group,
        closing(Readers(log.app_url)) as readers,
    ):
        app: Any = create_app(group_commit=group, readers=readers, host="127.0.0.1")
        headers = {**ACTOR, "Content-Type": "application/json"}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://127.0.0.1", headers=headers
        ) as client:
            first = asyncio.create_task(client.post("/v1/deals", content=slowly()))
            await soon(lambda: api.body._reading.bytes >= 900)
            assert refused_for_now(
                await client.post("/v1/deals", json={"funnel": "tas_plus", "name": "x" * 200})
            )
            go_on.set()
            assert (await first).status_code == 201
            assert api.body._reading.bytes == 0


# --- a real process


@pytest.mark.slow
def test_a_server_that_is_told_to_stop_answers_everything_it_accepted(
    database: Server, tmp_path: Path
) -> None:
    with serving(program_on(database, tmp_path)) as server:
        answered: set[str] = set()
        broken: set[str] = set()
        refused: set[str] = set()

        def client(name: int) -> None:
            with httpx.Client(base_url=server.address, timeout=30) as http:
                for number in range(100_000):
                    request = f"{name}-{number}"
                    headers = {**ACTOR, "X-Request-Id": request}
                    try:
                        answer = http.post("/v1/deals", json={"funnel": "tas_plus"}, headers=headers)
                    except httpx.TransportError:
                        broken.add(request)
                        return
                    (answered if answer.status_code == 201 else refused).add(request)

        clients = [Running(lambda name=name: client(name)) for name in range(12)]
        wait_until(lambda: len(answered) > 200, 120)
        server.process.send_signal(signal.SIGTERM)
        for running in clients:
            running.result()
        code, said = server.end()
    assert code == 0, said
    assert refused == set()
    in_the_log = {event.meta.request_id for event in log_of(database)}
    assert answered <= in_the_log, "an answered command is in the log"
    assert broken & in_the_log == set(), "a command that came into the log was answered"


def test_the_wait_of_accepted_commands_stays_bounded_in_a_flood(log: Log) -> None:
    """Who is accepted waits for those who fit into the queue, and for the group under way; for no others.

    Counted in commands that went before, which is the same on every machine.
    """
    room, group_of, many = 64, 32, 3000
    told, waited, refused = [len(log.events())], list[int](), list[int]()
    turn = (
        threading.Lock()
    )  # nobody is told anything between the look at where the log stands and the submission

    def take(answers: list[Any]) -> None:
        with turn:
            for before, answer in answers:
                waited.append(answer.position - before)
                told[0] = answer.position

    def client() -> None:
        while len(waited) < many:
            try:
                with turn:
                    group.submit(ask(OpenDeal(funnel="tas_plus")), told[0], take)
            except Overloaded:
                refused.append(1)
                time.sleep(0.001)

    with (
        closing(LogConnection(log.app_url)) as connection,
        closing(GroupCommit(Executor(connection), max_waiting=room, max_group=group_of)) as group,
    ):
        with log.held():  # until there is more than fits
            clients = [Running(client) for _ in range(8)]
            wait_until(lambda: bool(refused))
        for flooding in clients:
            flooding.result(120)
    assert len(log.events()) == told[0]
    assert group_of < max(waited) <= room + group_of


@pytest.mark.slow
def test_two_servers_on_one_database_share_deals_without_losing_anything(
    database: Server, tmp_path: Path
) -> None:
    program = program_on(database, tmp_path)
    fill_empty_log(database.app_url)
    with serving(program) as one, serving(program) as other:
        with httpx.Client(base_url=one.address, headers=ACTOR) as http:
            deals = [http.post("/v1/deals", json={"funnel": "tas_plus"}).json()["deal_id"] for _ in range(3)]
        barrier = threading.Barrier(4)

        def work(address: str, name: str) -> list[str]:
            """Many activities and amounts on the same deals, each server knowing only what it has seen."""
            done = []
            with httpx.Client(base_url=address, headers=ACTOR, timeout=30) as http:
                barrier.wait()
                for number in range(40):
                    deal, request = deals[number % 3], f"{name}-{number}"
                    answer = http.post(
                        f"/v1/deals/{deal}/log-activity",
                        json={"kind": "call"},
                        headers={"If-Match": "*", "X-Request-Id": request, "Idempotency-Key": request},
                    )
                    if answer.status_code == 200:
                        done.append(request)
                    else:
                        assert answer.json()["code"] == "contended", answer.text
            return done

        running = [
            Running(lambda a=server.address, n=f"{i}{n}": work(a, n))
            for i, server in enumerate((one, other))
            for n in "ab"
        ]
        done = [request for answers in running for request in answers.result()]
        stale_on_both(one.address, other.address, deals[0])
        repeated_elsewhere(other.address, deals[int(done[0].split("-")[1]) % 3], done[0])
    events = log_of(database)
    assert [e.position for e in events] == list(range(1, len(events) + 1))
    logged = [e.meta.request_id for e in events if e.topic == "deal.activity_logged"]
    assert sorted(logged) == sorted([*done, "another"])
    for deal in deals:
        versions = [e.version for e in events if str(e.stream_id) == deal]
        assert versions == list(range(1, len(versions) + 1))


def stale_on_both(first: str, second: str, deal: str) -> None:
    """The same version offered to two servers: one gets it, the other hears that the deal has moved."""
    with httpx.Client(headers=ACTOR) as http:
        version = http.post(
            f"{first}/v1/deals/{deal}/log-activity",
            json={"kind": "call"},
            headers={"If-Match": "*", "X-Request-Id": "another"},
        ).headers["ETag"]
        statuses = [
            http.post(
                f"{address}/v1/deals/{deal}/rename-deal",
                json={"name": f"as {address} has it"},
                headers={"If-Match": version},
            ).status_code
            for address in (second, first)
        ]
    assert statuses == [200, 412]


def repeated_elsewhere(address: str, deal: str, request: str) -> None:
    """A retry that another server gets is answered as the first time."""
    again = httpx.post(
        f"{address}/v1/deals/{deal}/log-activity",
        json={"kind": "call"},
        headers={**ACTOR, "If-Match": "*", "Idempotency-Key": request},
    )
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of the tests that are coroutines."""
    return "asyncio"
