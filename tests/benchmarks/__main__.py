"""`make bench`: run every benchmark, or those named: `make bench ARGS="append rebuild --scale 0.2"`."""

import argparse
import importlib
import pkgutil
import tempfile
from dataclasses import replace
from pathlib import Path

import psycopg

from infra.postgres import Server, open_server
from infra.settings import Settings
from tests import benchmarks
from tests.benchmarks.pairs import console

PREFIX = "bench_"
DURABILITY = ("fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "shared_buffers")


def main() -> None:
    """Run the benchmarks one after the other on a server of their own (or the one of DATABASE_URL)."""
    names = [
        m.name.removeprefix(PREFIX)
        for m in pkgutil.iter_modules(benchmarks.__path__)
        if m.name.startswith(PREFIX)
    ]
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", default=[], help=f"which ones (default: all): {', '.join(names)}")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the usual amount of work")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(names):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    with (
        tempfile.TemporaryDirectory() as home,
        open_server(replace(Settings.from_environment(), home=Path(home))) as server,
    ):
        _print_machine(server)
        for name in arguments.names or names:
            importlib.import_module(f"{benchmarks.__name__}.{PREFIX}{name}").run(server, arguments.scale)


def _print_machine(server: Server) -> None:
    with psycopg.connect(server.owner_url) as conn:
        settings = {name: conn.execute(f"SHOW {name}").fetchone() for name in DURABILITY}
    shown = ", ".join(f"{name} = {value[0]}" for name, value in settings.items() if value)
    console.print(f"PostgreSQL {server.version}: {shown}\n")


main()
