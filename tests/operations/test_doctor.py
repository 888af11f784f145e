"""The doctor says what is wrong and what to do: each ailment is really there."""

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from domain.event import Recorded
from infra.migrations import numbered
from infra.postgres import Server, scratch_database
from projections.deals import PROJECTION as DEALS
from projections.engine.catalogue import catalogue
from projections.engine.description import Out
from projections.engine.running import run_to_head
from tests.cli.conftest import program_on, url
from tests.operations.conftest import DEALS as IDS
from tests.operations.conftest import rows, tell_more
from tests.store.log import wait_until
from workers.doctor import Examination, Finding, examine
from workers.doctor.database import VERY_FEW
from workers.projector import Projector


def examined(server: Server, **more: str) -> dict[str, Finding]:
    """What the doctor finds, by the name of the check."""
    return by_name(examine(environment(server) | more, wait_seconds=0.1))


def environment(server: Server) -> dict[str, str]:
    return {"DATABASE_URL": url(server.app_url), "DATABASE_OWNER_URL": url(server.owner_url)}


def by_name(found: Examination) -> dict[str, Finding]:
    names = [finding.check for finding in found.findings]
    assert len(set(names)) == len(names)
    assert all(f.hint for f in found.findings if f.verdict in ("warning", "problem"))
    return {finding.check: finding for finding in found.findings}


@pytest.fixture(scope="module")
def patient(server: Server, told_once: Server) -> Iterator[Server]:
    """A healthy database, which every test cures again."""
    with scratch_database(server, template=told_once.database) as database:
        run_to_head(database.app_url)
        rows(database, "UPDATE dealtrace.recalibration_jobs SET state = 'cancelled' WHERE state = 'queued'")
        yield database
        assert examine(environment(database)).verdict == "ok"


@pytest.fixture
def superuser(server: Server) -> None:
    """Some ailments only a superuser can bring about."""
    if rows(server, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == [(False,)]:
        pytest.skip("the owner is no superuser of this server")


@contextmanager
def ailing(server: Server, harm: str, cure: str) -> Iterator[None]:
    rows(server, harm)
    try:
        yield
    finally:
        rows(server, cure)


def test_a_release_that_waits_for_its_switch(patient: Server) -> None:
    with ailing(
        patient,
        "UPDATE projection.checkpoints SET state = 'ready' WHERE projection = 'deals'",
        "UPDATE projection.checkpoints SET state = 'live' WHERE projection = 'deals'",
    ):
        found = examined(patient)
        assert found["releases"].verdict == "problem"
        assert f"deals v{catalogue()['deals'].version} is filled and waits for" in found["releases"].sentence
        assert found["projector"].verdict == "ok"


@pytest.mark.parametrize(("age", "verdict"), [("0 s", "ok"), ("1 hour", "warning")])
def test_tables_that_another_release_left(patient: Server, age: str, verdict: str) -> None:
    with ailing(
        patient,
        "INSERT INTO projection.checkpoints (projection, version, generation, slice, slices, log_id, epoch, state)"
        " SELECT 'deals', 77, 1, 0, 1, log_id, epoch, 'live' FROM dealtrace.log_head;"
        f"UPDATE dealtrace.events SET recorded_at = clock_timestamp() - interval '{age}' WHERE notification_id = 1",
        "DELETE FROM projection.checkpoints WHERE version = 77",
    ):
        found = examined(patient)["releases"]
        assert found.verdict == verdict
        assert "deals v77 (live)" in found.sentence


def test_recalibrations_that_nobody_takes_up(patient: Server) -> None:
    with ailing(
        patient,
        "UPDATE dealtrace.recalibration_jobs SET state = 'queued', asked_at = clock_timestamp() - interval '1 hour'"
        " WHERE state = 'cancelled'",
        "UPDATE dealtrace.recalibration_jobs SET state = 'cancelled' WHERE state = 'queued'",
    ):
        found = examined(patient)["recalibrations"]
        assert found.verdict == "warning"
        assert found.sentence.startswith("1 recalibrations wait, the first one for 3,6")
        assert "dealtrace serve" in found.hint


def test_a_healthy_installation_has_nothing_wrong(patient: Server) -> None:
    found = examine(environment(patient))
    assert found.verdict == "ok", found
    assert [f.check for f in found.findings] == [
        "settings", "disk", "server", "migrations", "privileges", "durability", "clock", "log", "log identity",
        "projector", "releases", "parked deals", "completeness", "recalibrations",
    ]  # fmt: skip


def test_a_setting_that_can_not_be_used() -> None:
    (finding,) = examine({"DEALTRACE_PORT": "the usual"}).findings
    assert (finding.check, finding.verdict) == ("settings", "problem")
    assert finding.sentence.startswith("DEALTRACE_PORT must be a whole number")


def test_a_server_that_does_not_answer() -> None:
    found = by_name(examine({"DATABASE_URL": "postgresql://me:secret@127.0.0.1:1/deals"}, wait_seconds=0.1))
    assert found["server"].verdict == "problem"
    assert found["server"].sentence.startswith("PostgreSQL at me@127.0.0.1:1/deals does not answer")
    assert "secret" not in repr(found)


def test_a_database_without_tables_or_with_too_few_or_too_many_migrations(
    bare: Server, patient: Server
) -> None:
    found = examined(bare)["migrations"]
    assert (found.verdict, found.sentence, found.hint) == (
        "problem", "The database has no tables yet.", "dealtrace migrate",
    )  # fmt: skip
    last = max(numbered())
    with ailing(
        patient,
        f"DELETE FROM dealtrace.migrations WHERE number = {last}",
        f"INSERT INTO dealtrace.migrations (number) VALUES ({last})",
    ):
        assert examined(patient)["migrations"].sentence == f"The migrations {last} have not been applied."
    with ailing(
        patient,
        "INSERT INTO dealtrace.migrations (number) VALUES (9999)",
        "DELETE FROM dealtrace.migrations WHERE number = 9999",
    ):
        newer = examined(patient)["migrations"]
        assert newer.sentence == "The database has the migrations [9999], which are of a newer release."


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("GRANT UPDATE ON dealtrace.events TO dealtrace_app", "UPDATE dealtrace.events"),
        ("GRANT UPDATE (state) ON dealtrace.events TO PUBLIC", "UPDATE dealtrace.events"),
        ("GRANT DELETE ON dealtrace.events TO dealtrace_app", "DELETE dealtrace.events"),
        (
            "GRANT UPDATE (epoch) ON dealtrace.log_head TO dealtrace_app",
            "UPDATE dealtrace.log_head (log_id, epoch)",
        ),
        ("GRANT INSERT ON dealtrace.epochs TO dealtrace_app", "INSERT dealtrace.epochs"),
    ],
)
def test_an_application_that_could_rewrite_the_log(patient: Server, harm: str, words: str) -> None:
    cure = harm.replace("GRANT", "REVOKE").replace(" TO ", " FROM ")
    with ailing(patient, harm, cure):
        found = examined(patient)["privileges"]
        assert found.verdict == "problem"
        assert (
            found.sentence
            == f"The application's login dealtrace_app may do what would rewrite the log: {words}."
        )
        assert found.hint.startswith("as the owner: REVOKE ")
        if "(" not in words and "PUBLIC" not in harm:
            rows(patient, found.hint.removeprefix("as the owner: "))  # the hint is the cure
            assert examined(patient)["privileges"].verdict == "ok"


def test_an_application_that_may_not_append(patient: Server) -> None:
    with ailing(
        patient,
        "REVOKE INSERT ON dealtrace.events FROM dealtrace_app",
        "GRANT INSERT ON dealtrace.events TO dealtrace_app",
    ):
        found = examined(patient)["privileges"]
        assert (found.verdict, found.sentence) == (
            "problem", "The application's login dealtrace_app may not do what it must: INSERT dealtrace.events.",
        )  # fmt: skip


def test_an_application_that_works_as_nobody(patient: Server) -> None:
    stranger = url(make_conninfo(patient.app_url, user="dealtrace_stranger"))
    found = by_name(examine(environment(patient) | {"DATABASE_URL": stranger}, wait_seconds=0.1))
    assert found["server"].verdict == "problem"
    assert "dealtrace_stranger" in found["server"].sentence


def test_an_application_that_works_as_the_owner(patient: Server, superuser: None) -> None:
    owner = {"DATABASE_URL": url(patient.owner_url)}
    assert "a superuser" in by_name(examine(owner))["privileges"].sentence
    # Where the server wants a password, the landlord has the application's.
    password = conninfo_to_dict(patient.app_url).get("password") or ""
    rows(patient, f"CREATE ROLE dealtrace_landlord LOGIN PASSWORD '{password}'")
    try:
        rows(patient, "GRANT USAGE ON SCHEMA dealtrace TO dealtrace_landlord")
        rows(patient, "GRANT SELECT ON ALL TABLES IN SCHEMA dealtrace TO dealtrace_landlord")
        landlord = url(make_conninfo(patient.app_url, user="dealtrace_landlord"))
        before = rows(patient, "SELECT current_user")[0][0]
        rows(patient, "ALTER TABLE dealtrace.events OWNER TO dealtrace_landlord")
        found = by_name(examine(environment(patient) | {"DATABASE_URL": landlord}))
        rows(patient, f"ALTER TABLE dealtrace.events OWNER TO {before}")
        assert "an owner of the log" in found["privileges"].sentence
    finally:
        rows(patient, "DROP OWNED BY dealtrace_landlord")
        rows(patient, "DROP ROLE dealtrace_landlord")


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_durability_that_was_switched_off(patient: Server, superuser: None, setting: str) -> None:
    def is_now(value: str) -> bool:
        return rows(patient, f"SHOW {setting}") == [(value,)]

    rows(patient, f"ALTER SYSTEM SET {setting} = off")
    try:
        rows(patient, "SELECT pg_reload_conf()")
        wait_until(lambda: is_now("off"))
        found = examined(patient)["durability"]
        assert found.verdict == "problem"
        assert found.sentence == f"{setting} is off: a crash can lose what was answered."
    finally:
        rows(patient, f"ALTER SYSTEM RESET {setting}")
        rows(patient, "SELECT pg_reload_conf()")
        wait_until(lambda: is_now("on"))


def test_durability_that_was_switched_off_for_the_application_alone(patient: Server, superuser: None) -> None:
    where = f"ROLE dealtrace_app IN DATABASE {patient.database}"
    with ailing(
        patient, f"ALTER {where} SET synchronous_commit = off", f"ALTER {where} RESET synchronous_commit"
    ):
        assert examined(patient)["durability"].sentence.startswith("synchronous_commit is off")


@pytest.mark.parametrize("hours", [-1, 1])
def test_clocks_that_differ(patient: Server, hours: int) -> None:
    def wrong() -> datetime:
        return datetime.now(UTC) + timedelta(hours=hours)

    found = by_name(examine(environment(patient), clock=wrong))["clock"]
    assert found.verdict == "warning"
    assert re.search(r"3,(59|60)\d s behind" if hours > 0 else r"3,(59|60)\d s ahead of", found.sentence)


def test_a_database_clock_that_was_set_back(patient: Server) -> None:
    with ailing(
        patient,
        "UPDATE dealtrace.log_head SET recorded_at = clock_timestamp() + interval '1 hour'",
        "UPDATE dealtrace.log_head SET recorded_at = clock_timestamp()",
    ):
        found = examined(patient)["clock"]
        assert found.verdict == "warning"
        assert "after the present time of the database's clock" in found.sentence


def test_a_log_whose_last_events_are_gone(told_log: Server) -> None:
    rows(told_log, "DELETE FROM dealtrace.events WHERE notification_id > 7")
    found = examined(told_log)["log"]
    assert (found.verdict, found.sentence) == (
        "problem", "The head of the log is at position 9, and its last event at 7.",
    )  # fmt: skip


def test_projections_of_another_log(patient: Server) -> None:
    with ailing(
        patient,
        "UPDATE projection.checkpoints SET epoch = 7",
        "UPDATE projection.checkpoints SET epoch = 1",
    ):
        found = examined(patient)["log identity"]
        assert found.verdict == "problem"
        assert "epoch 7, which is not the one here: " in found.sentence
        assert found.hint.startswith("dealtrace projections adopt-log")


def test_projections_that_nobody_keeps_up_and_then_somebody_does(told_log: Server) -> None:
    assert examined(told_log)["projector"].sentence.startswith("No rows were ever made for ")
    run_to_head(told_log.app_url)
    tell_more(told_log)
    found = examined(told_log)["projector"]
    assert found.verdict == "problem"
    assert "No projector is connected, and " in found.sentence
    assert "is 3 events and" in found.sentence
    stop = threading.Event()
    worker = threading.Thread(target=Projector(told_log.app_url).run, args=[stop])
    worker.start()
    try:
        wait_until(lambda: "and a projector is connected" in examined(told_log)["projector"].sentence)
    finally:
        stop.set()
        worker.join()


def test_a_projector_that_is_connected_and_does_not_get_on(told_log: Server) -> None:
    run_to_head(told_log.app_url)
    tell_more(told_log)
    rows(told_log, "UPDATE dealtrace.events SET recorded_at = recorded_at - interval '5 minutes'")
    with closing(
        psycopg.connect(told_log.app_url, autocommit=True, application_name="dealtrace projections")
    ):
        found = examined(told_log)["projector"]
    assert found.verdict == "problem"
    assert found.sentence.startswith("A projector is connected, but ")


def test_a_deal_that_waits(told_log: Server) -> None:
    def fold(head: object, event: Recorded, out: Out) -> object:
        if event.stream_id == IDS[1]:
            raise ZeroDivisionError("a mistake")
        return DEALS.fold(head, event, out)

    run_to_head(told_log.app_url, projections=[msgspec.structs.replace(DEALS, fold=fold)])
    found = examined(told_log)["parked deals"]
    assert found.verdict == "problem"
    assert (
        f"deal {IDS[1]} in deals with 1 events from position 4 on (ZeroDivisionError: a mistake)"
        in found.sentence
    )
    assert found.hint.endswith(f"dealtrace projections unpark deals --key {IDS[1]}")


def test_events_that_a_projection_skipped(told_log: Server) -> None:
    run_to_head(told_log.app_url)
    rows(
        told_log,
        "UPDATE projection.checkpoints SET applied = applied - 1, elsewhere = 1 WHERE projection = 'deals'",
    )
    rows(
        told_log,
        "UPDATE projection.checkpoints SET applied = applied - 1, parked = 1 WHERE projection = 'timeline'",
    )
    found = examined(told_log)["completeness"]
    assert found.verdict == "problem"
    assert found.hint == "dealtrace projections rebuild deals timeline"


def test_a_disk_that_is_nearly_full(tmp_path: Path) -> None:
    mount = shutil.which("mount")
    small = tmp_path / "small"
    small.mkdir()
    arguments = [mount or "mount", "-t", "tmpfs", "-o", f"size={VERY_FEW // 2}", "tmpfs", str(small)]
    if not mount or subprocess.run(arguments, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can not be mounted here: that is for root alone")
    try:
        (small / "home").write_text("no folder, so that no server is started here")
        found = by_name(examine({"DEALTRACE_HOME": str(small / "home")}))
        assert found["disk"].verdict == "problem"
        assert found["disk"].sentence.startswith("Only 0.5 GiB are free")
        assert found["server"].verdict == "problem"
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_the_program_says_it_in_words_and_as_json(patient: Server, bare: Server, tmp_path: Path) -> None:
    well, ill = (
        program_on(patient, tmp_path)("doctor"),
        program_on(bare, tmp_path)("doctor", "--format", "json"),
    )
    assert well.code == 0, well.out
    assert "problem" not in well.out
    assert ill.code == 1
    assert ill.json["verdict"] == "problem"
    assert {"check": "migrations", "verdict": "problem", "sentence": "The database has no tables yet.",
            "hint": "dealtrace migrate"} in ill.json["findings"]  # fmt: skip
