"""A cluster as each run begins with, made once; and copies of it on a disk of limited size."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.embedded_server import SUPERUSER, _programs
from infra.migrations import migrate
from infra.postgres import APP_ROLE, DATABASE
from projections.engine.running import run_to_head
from tests.soak.cluster import CLEAN, Cluster
from workers.first_start import fill_empty_log

DISK_BYTES = 192 * 1024 * 1024

# The clock as the application hears it: its calls find this function before PostgreSQL's own. It steps for one
# database only, without a change of the machine's clock, which everybody else on it would feel.
_CLOCK = f"""
CREATE SCHEMA soak;
CREATE TABLE soak.clock (behind interval NOT NULL);
INSERT INTO soak.clock VALUES ('0');
CREATE FUNCTION soak.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
  AS 'SELECT pg_catalog.clock_timestamp() - behind FROM soak.clock';
GRANT USAGE ON SCHEMA soak TO {APP_ROLE};
GRANT SELECT ON soak.clock TO {APP_ROLE};
ALTER ROLE {APP_ROLE} IN DATABASE {DATABASE} SET search_path = soak, pg_catalog, public"""


def make_template(folder: Path) -> None:
    """A cluster with the default playbook and all the tables, at rest, for `own_cluster` to copy."""
    cluster = Cluster(folder, folder / "cluster")
    cluster.data.mkdir(mode=0o700)
    cluster.account.give(cluster.data)
    subprocess.run(
        [_programs() / "initdb", "-D", cluster.data, "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8",
         "--locale=C", "--wal-segsize=1", "--no-sync", "--no-instructions"],
        check=True, cwd=cluster.sockets, stdout=subprocess.DEVNULL, **cluster.account.subprocess_options(),
    )  # fmt: skip
    cluster.start()
    try:
        cluster.query(f"CREATE DATABASE {DATABASE}", database="postgres")
        migrate(cluster.server.owner_url)
        fill_empty_log(cluster.server.app_url)
        run_to_head(cluster.server.app_url)
        cluster.query(f"CREATE DATABASE {CLEAN} TEMPLATE {DATABASE}", database="postgres")
        cluster.query(_CLOCK)
        cluster.stop()
    finally:
        cluster.close()


@contextmanager
def own_cluster(template: Path, folder: Path) -> Iterator[Cluster]:
    """A running copy of the template on a disk of its own, where we may mount one; gone after the block."""
    disk = folder / "disk"
    disk.mkdir()
    mounted = may_mount()
    if mounted:
        options = f"size={DISK_BYTES},mode=0755"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "dealtrace-soak", disk], check=True)
    try:
        subprocess.run(["cp", "-a", template / "cluster", disk / "cluster"], check=True)
        cluster = Cluster(folder, disk / "cluster")
        cluster.account.let_through(cluster.data)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.close()
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", disk], check=True)


def may_mount() -> bool:
    """Whether a disk of limited size can be had: mounting one takes root."""
    return os.geteuid() == 0 and shutil.which("mount") is not None
