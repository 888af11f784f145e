"""What the embedded server says does not fill the disk."""

from pathlib import Path

import psycopg
import pytest

from infra import embedded_server
from infra.embedded_server import SUPERUSER, shared_server, watched_server
from tests.store.log import wait_until

pytestmark = pytest.mark.slow


def test_a_long_log_is_kept_once_and_begun_anew_while_the_server_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_server, "LONG_LOG_BYTES", 20_000)
    log, kept = (tmp_path / "home" / "postgres" / name for name in ("server.log", "server.log.1"))
    with shared_server(tmp_path / "home") as sockets, watched_server(tmp_path / "home"):
        url = f"host={sockets} user={SUPERUSER} dbname=postgres"
        with psycopg.connect(url, autocommit=True) as conn:

            def say(words: str) -> None:
                conn.execute(f"DO $do$ BEGIN RAISE LOG '{words}'; END $do$".encode())

            say("at first")
            assert not kept.exists()
            say("very much " * 3_000)
            wait_until(kept.exists)
            wait_until(lambda: log.stat().st_size < 20_000)
            say("and then")
            said = log.read_text()
            assert "and then" in said
            assert "\0" not in said, "it appends, and does not go on where it was"
            assert "at first" in kept.read_text()
            assert kept.stat().st_mode & 0o077 == 0
