"""What the program says of itself: metrics, the dashboard made of them, traces, and log lines."""

import gzip
import json
import logging
import re
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any, ClassVar

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api import metrics
from api.logs import JsonLines
from domain.deal import LogActivity
from infra import recalibration_jobs as jobs
from infra import tracing
from infra.connection import LogConnection
from infra.executor import Executor
from infra.postgres import Server
from infra.sessions import alone
from infra.settings import configuration_reference
from projections.engine.connecting import connect
from projections.engine.rebuilding import Cancelled, rebuild
from projections.engine.running import run_to_head
from tests.api.conftest import Api, serve
from tests.cli.conftest import program_on
from tests.operations.servers import free_port, serving
from tests.store.log import ask, done, wait_until
from workers.first_start import fill_empty_log

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "infra" / "grafana" / "dealtrace.json"

Found = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(text: str) -> Found:
    """Every sample by its name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(api: Api) -> Found:
    """What the API says, asked as a scraper asks."""
    answer = api.as_role("sales_operations").get("/metrics").raise_for_status()
    assert answer.headers["Content-Type"].startswith("text/plain")
    return parsed(answer.text)


def value(found: Found, name: str, **labels: str) -> float:
    """One sample, 0 when there is none; of several the sum."""
    wanted = set(labels.items())
    return sum(v for (n, have), v in found.items() if n == f"dealtrace_{name}" and wanted <= set(have))


@pytest.fixture
def api(database: Server) -> Iterator[Api]:
    """The server on a database of the test's own; nothing is projected yet."""
    fill_empty_log(database.app_url)
    with serve(database) as api:
        yield api


def test_commands_events_and_refusals_are_counted(api: Api) -> None:
    before = scrape(api)
    deal = api.open_deal()
    key = {"Idempotency_Key": "once"}
    for _ in range(2):
        api.post(f"/v1/deals/{deal}/log-activity", {"kind": "call"}, If_Match="*", **key)
    refused = api.post(f"/v1/deals/{deal}/log-activity", {"kind": "call"}, If_Match='"7"')
    assert refused.status_code == 412
    after = scrape(api)

    def gained(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    assert gained("events_appended_total") == 2
    counted = [gained("commands_total", outcome=o) for o in ("done", "repeated", "refused", "failed")]
    assert counted == [2, 1, 1, 0]
    assert gained("refusals_total", code="stale-version") == 1
    assert gained("group_commands_sum") == 4
    assert gained("append_seconds_count") == 4
    assert value(after, "log_position") - value(before, "log_position") == 2
    assert value(after, "commands_waiting") == 0


def test_requests_are_counted_by_the_template_of_their_route(api: Api) -> None:
    deal = api.open_deal()
    before = scrape(api)
    api.post(f"/v1/deals/{deal}/log-activity", {"kind": "call"}, If_Match="*")
    api.get("/nowhere/at/all")
    api.client.request("PROPFIND", "/v1/log", headers=api.actor)
    after = scrape(api)

    def gained(**labels: str) -> float:
        return value(after, "http_requests_total", **labels) - value(before, "http_requests_total", **labels)

    assert gained(route="/v1/deals/{deal_id}/log-activity", method="POST", status="200") == 1
    assert gained(route="none", status="404") == 1
    assert gained(method="other", status="405") == 1
    assert not any(deal in str(labels) for _, labels in after)
    assert value(after, "http_requests_in_flight") == 1, "the scrape itself"


def test_lag_and_completeness_come_from_the_checkpoints(api: Api) -> None:
    assert value(scrape(api), "projection_position") == 0
    api.catch_up()
    api.open_deal()
    behind = scrape(api)
    assert value(behind, "projection_lag_positions", projection="deals") == 1
    assert value(behind, "projection_lag_seconds", projection="deals") > 0
    api.catch_up()
    now = scrape(api)
    assert value(now, "projection_lag_positions") == value(now, "projection_lag_seconds") == 0
    position = value(now, "projection_position", projection="deals")
    assert position == value(now, "log_position")
    assert position == sum(
        value(now, f"projection_{part}", projection="deals") for part in ("applied", "ignored", "parked")
    )
    assert value(now, "projection_complete", projection="deals", state="live") == 1


def test_what_is_parked_is_seen(api: Api) -> None:
    api.catch_up()
    with psycopg.connect(api.database.owner_url, autocommit=True) as conn:
        conn.execute(
            "UPDATE projection.checkpoints SET applied = 0, ignored = 0, parked = position"
            " WHERE projection = 'deals'"
        )
    found = scrape(api)
    assert value(found, "projection_parked", projection="deals") == value(found, "log_position") > 0


class SoonSet(Flag):
    """Somebody sets it while the work is under way: after it was looked at twice."""

    looks = 0

    def is_set(self) -> bool:
        self.looks += 1
        return self.looks > 2


def test_an_interrupted_rebuild_says_how_far_it_came(api: Api) -> None:
    for _ in range(8):
        api.open_deal()
    api.catch_up()
    with pytest.raises(Cancelled):
        rebuild(api.database.app_url, ["deals"], processes=1, range_events=2, stop=SoonSet())
    found = scrape(api)
    events = value(found, "rebuild_events", projection="deals")
    assert 0 < value(found, "rebuild_done", projection="deals") < events == value(found, "log_position")
    rebuild(api.database.app_url, ["deals"], processes=1)
    assert value(scrape(api), "rebuild_events") == 0


def test_decisions_made_again_are_counted(api: Api) -> None:
    deal = api.open_deal()
    before = value(scrape(api), "redecisions_total")
    with closing(LogConnection(api.database.app_url)) as elsewhere:
        done(Executor(elsewhere).execute([ask(LogActivity(deal_id=deal, kind="call"))])[0])
    assert api.post(f"/v1/deals/{deal}/log-activity", {"kind": "call"}, If_Match="*").status_code == 200
    assert value(scrape(api), "redecisions_total") == before + 1


def test_the_queue_of_recalibrations_is_seen(api: Api) -> None:
    url, until = api.database.app_url, datetime(2026, 3, 1, tzinfo=UTC)
    with alone(url, jobs.RUNNING) as ours, connect(url) as conn:  # so that the server runs none of them
        assert ours
        asked = [
            jobs.ask(conn, jobs.Wanted("tas_plus", until, None, seed, 10, "alice", "admin")).job.id
            for seed in range(5)
        ]
        for _ in range(3):
            running = jobs.take(conn)
            assert running is not None
            if running.id == asked[0]:
                assert jobs.fail(conn, running.id, running.attempt, "a mistake")
            elif running.id == asked[1]:
                assert jobs.cancel(conn, running.id)
        found = scrape(api)
    states = ("queued", "running", "done", "failed", "cancelled")
    assert [value(found, "recalibration_jobs", state=state) for state in states] == [2, 1, 0, 1, 1]
    assert value(found, "recalibration_seconds", state="failed") > 0
    assert value(found, "recalibration_seconds", state="done") == 0
    waited = value(found, "recalibration_oldest_queued_seconds")
    assert waited >= value(found, "recalibration_running_seconds") > 0


def test_without_its_database_the_server_still_answers() -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing?connect_timeout=1"
    with serve(Server(nowhere, nowhere, "18", embedded=False), patience=0.1) as api:
        found = scrape(api)
        assert value(found, "database_up") == 0
        assert ("process_cpu_seconds_total", ()) in found


def test_every_metric_is_documented_and_every_documented_one_is_there(api: Api) -> None:
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == metrics.reference()
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == configuration_reference()
    api.catch_up()
    text = api.as_role("admin").get("/metrics").text
    exposed = {f.name for f in text_string_to_metric_families(text) if f.name.startswith("dealtrace_")}
    documented = documented_names()
    assert exposed <= {name.removesuffix("_total") for name in documented}
    missing = {name.removesuffix("_total") for name in documented} - exposed
    assert missing <= {"dealtrace_rebuild_events", "dealtrace_rebuild_done"}, "only seen during a rebuild"


def documented_names() -> set[str]:
    """The names in docs/metrics.md."""
    return set(re.findall(r"^\| `(dealtrace_\w+)`", metrics.reference(), re.MULTILINE))


def test_the_dashboard_asks_for_metrics_and_labels_that_exist() -> None:
    kinds = dict(re.findall(r"^\| `(dealtrace_\w+)` \| (\w+)", metrics.reference(), re.MULTILINE))
    names = {
        series
        for name, kind in kinds.items()
        for series in (
            [f"{name}_{end}" for end in ("bucket", "sum", "count")] if kind == "histogram" else [name]
        )
    }
    labels = {"le", "job", "instance", *re.findall(r"`(\w+)`(?=[,`\w ]*\| )", metrics.reference())}
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    assert len(queries) > 10
    for query in queries:
        asked = set(re.findall(r"\b(?:dealtrace|process)_\w+", query))
        assert asked, query
        assert {name for name in asked if name.startswith("dealtrace_")} <= names, query
        used = set(re.findall(r"(\w+)\s*(?:=~|!=|=)\s*\"", query))
        used |= {
            label.strip() for group in re.findall(r"by\s*\(([^)]*)\)", query) for label in group.split(",")
        }
        assert used <= labels, query


# --- the projector's own


@pytest.mark.slow
def test_the_projector_serves_its_batches_on_a_port_of_its_own(database: Server, tmp_path: Path) -> None:
    port = free_port()
    fill_empty_log(database.app_url)
    program = program_on(database, tmp_path)
    process = program.start(
        "projector", DEALTRACE_PROJECTOR_METRICS_PORT=str(port), DEALTRACE_LOG_FORMAT="json"
    )
    try:
        wait_until(lambda: value(own(port), "projector_batch_seconds_count") > 0)
    finally:
        process.terminate()
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert any(line["message"].startswith("Projecting ") for line in lines)


def own(port: int) -> Found:
    """What the projector says, as soon as it listens."""
    try:
        return parsed(httpx.get(f"http://127.0.0.1:{port}/metrics").text)
    except httpx.ConnectError:
        return {}


def test_without_that_setting_it_listens_nowhere(database: Server, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        program = program_on(database, tmp_path)
        said = program("projector", DEALTRACE_PROJECTOR_METRICS_PORT=str(taken.getsockname()[1]))
        assert said.code == 1
        assert "DEALTRACE_PROJECTOR_METRICS_PORT" in said.err


# --- traces


@contextmanager
def traced() -> Iterator[Any]:
    """Spans are made, and kept in memory."""
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept = InMemorySpanExporter()
    with tracing.tracing(SimpleSpanProcessor(kept), "test"):
        yield kept


def test_a_trace_leads_from_the_request_to_its_projected_row(api: Api) -> None:
    api.catch_up()
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    caller = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
    with traced() as kept:
        answer = api.post("/v1/deals", {"funnel": "tas_plus"}, **caller)
        assert answer.status_code == 201
        run_to_head(api.database.app_url)  # what the projector does, which may be another process
        wait_until(lambda: len(kept.get_finished_spans()) == 5)
    spans = {span.name: span for span in kept.get_finished_spans()}
    request, group = spans["POST request"], spans["group commit"]
    assert {format(s.context.trace_id, "032x") for s in spans.values()} == {trace_id}
    assert format(request.parent.span_id, "016x") == "00f067aa0ba902b7"
    assert request.attributes["http.response.status_code"] == 201
    assert group.parent.span_id == spans["project"].parent.span_id == request.context.span_id
    decided = spans["decide"]
    assert spans["append"].parent.span_id == decided.parent.span_id == group.context.span_id
    assert spans["project"].attributes["dealtrace.position"] == answer.json()["position"]
    assert request.start_time <= group.start_time <= decided.start_time <= decided.end_time
    assert decided.end_time <= spans["append"].start_time
    assert spans["append"].end_time <= group.end_time <= spans["project"].start_time


def test_a_correlation_id_of_its_own_links_to_the_callers_trace(api: Api) -> None:
    caller = {"traceparent": f"00-{1:032x}-{2:016x}-01", "X-Correlation-Id": "order-17"}
    with traced() as kept:
        assert api.post("/v1/deals", {"funnel": "tas_plus"}, **caller).status_code == 201
        wait_until(lambda: len(kept.get_finished_spans()) == 4)
    (request,) = [span for span in kept.get_finished_spans() if span.parent is None]
    assert request.context.trace_id == tracing.trace_of("order-17")
    assert [link.context.trace_id for link in request.links] == [1]


class Collector(BaseHTTPRequestHandler):
    """An OpenTelemetry collector that keeps what it gets."""

    spans: ClassVar[list[tuple[str, Any]]] = []

    def do_POST(self) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            said = {a.key: a.value.string_value for a in resource.resource.attributes}
            self.spans += [
                (said["dealtrace.process"], span) for scope in resource.scope_spans for span in scope.spans
            ]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.mark.slow
def test_the_processes_send_one_trace_to_a_collector(database: Server, tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector:
        thread = Thread(target=collector.serve_forever)
        thread.start()
        program = program_on(database, tmp_path)
        url = f"http://127.0.0.1:{collector.server_address[1]}/v1/traces"
        with serving(program, DEALTRACE_TRACES_URL=url) as server:
            projector = program.start("projector", DEALTRACE_TRACES_URL=url)
            headers = {"X-Actor-Id": "anna", "X-Actor-Role": "rep", "X-Correlation-Id": "order-17"}
            answer = httpx.post(f"{server.address}/v1/deals", json={"funnel": "tas_plus"}, headers=headers)
            position = answer.json()["position"]
            seen = f"{server.address}/v1/deals/{answer.json()['deal_id']}?min_position={position}"
            wait_until(lambda: httpx.get(seen, headers=headers, timeout=30).status_code == 200)
            for process in (server.process, projector):  # what is left is sent at the end
                process.terminate()
                process.communicate(timeout=60)
                assert process.returncode == 0
        collector.shutdown()
        thread.join()
    trace = tracing.trace_of("order-17").to_bytes(16)
    found = sorted({(process, span.name) for process, span in Collector.spans if span.trace_id == trace})
    assert found == [
        ("api", "GET request"), ("api", "POST request"), ("api", "append"), ("api", "decide"),
        ("api", "group commit"), ("projector", "project"),
    ]  # fmt: skip


def test_switched_off_nothing_is_traced(api: Api) -> None:
    with traced() as kept:
        pass
    api.open_deal()
    assert not tracing.is_on()
    assert kept.get_finished_spans() == ()


# --- log lines


def test_the_line_of_a_command_names_its_request_correlation_and_position(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "dealtrace.access"):
        answer = api.post("/v1/deals", {"funnel": "tas_plus"}, X_Request_Id="r-1", X_Correlation_Id="c-1")
        wait_until(lambda: bool(caplog.records))
    line = json.loads(JsonLines().format(caplog.records[0]))
    assert (line["request_id"], line["correlation_id"]) == ("r-1", "c-1")
    assert (line["position"], line["status"]) == (answer.json()["position"], 201)


def test_ids_of_traces_are_those_of_the_requests() -> None:
    assert tracing.trace_of("4bf92f3577b34da6a3ce929d0e0e4736") == 0x4BF92F3577B34DA6A3CE929D0E0E4736
    assert tracing.trace_of("4bf92f35-77b3-4da6-a3ce-929d0e0e4736") == 0x4BF92F3577B34DA6A3CE929D0E0E4736
    assert 0 < tracing.trace_of("order-17") < 2**128
    assert tracing.trace_of("0" * 32) != 0, "an id of zeros is no trace"
