"""`make test-oldest`: the suite on a PostgreSQL 15 of its own, with passwords over TCP, as an administrator would give it.

make test-oldest                        the whole suite
make test-oldest ARGS="tests/store -x"  part of it
"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.operations.servers import PROGRAMS_15, postgresql_15

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Run pytest with these arguments on it; its exit code."""
    if not (PROGRAMS_15 / "initdb").exists():
        print(f"error: PostgreSQL 15 is not installed in {PROGRAMS_15}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the server is stopped too
    with (
        tempfile.TemporaryDirectory(prefix="dealtrace-15-", ignore_cleanup_errors=True) as folder,
        postgresql_15(Path(folder)) as server,
    ):
        logins = {"DATABASE_URL": server.app_url, "DATABASE_OWNER_URL": server.owner_url}
        pytest = [sys.executable, "-m", "pytest", *sys.argv[1:]]
        return subprocess.run(pytest, cwd=ROOT, env={**os.environ, **logins}, check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("Stopped.")
