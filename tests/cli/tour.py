"""The tour of the README: its commands, run in order; `python -m tests.cli.tour` writes their output into it anew."""

import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cli.conftest import PROGRAM, ROOT, without_settings

README = ROOT / "README.md"
COLUMNS = "100"
_BLOCK = re.compile(r"(?<=```console\n).*?(?=^```)", re.MULTILINE | re.DOTALL)
_MASKS = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "HASH"),
    (re.compile(r"20[2-9]\d-\d\d-\d\d([ T]\d\d:\d\d:\d\d(\.\d+)?Z)?"), "TIME"),
    (re.compile(r"20[2-9]\d-W\d\d"), "WEEK"),
    (re.compile(r"\bin \d+\.\d s\b"), "in SECONDS"),
    # Forecasts go by calendar months, so how many events there are depends on the week.
    (re.compile(r"(position|stands at) +[\d,]+"), "POSITION"),
    (re.compile(r'"position":\d+'), "POSITION"),
    # How long a deal has been in its stage goes by the day of the week, and the table is as wide as its words.
    (re.compile(r"\b(entered|stalled|pending_loss|pending_advance)\b"), "STATE"),
    (re.compile(r"\b\d+\.\d{4}(?= +\d+ +[\d,]+$)", re.MULTILINE), "DAYS"),
    (re.compile(r"─+"), "─"),
    (re.compile(r"  +"), "  "),
    (re.compile(r" live .*"), " FIGURES"),
    (re.compile(r"--cursor \S+"), "--cursor CURSOR"),
)


def told() -> list[tuple[str, str]]:
    """Every command of the tour with the output that the README gives for it."""
    found = []
    for block in _BLOCK.findall(README.read_text(encoding="utf-8")):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


def masked(output: str) -> str:
    """The output without what differs from run to run: ids, hashes, recent dates, durations."""
    for pattern, word in _MASKS:
        output = pattern.sub(word, output)
    return "\n".join(line.rstrip() for line in output.strip().splitlines())


@contextmanager
def toured() -> Iterator["Tour"]:
    """A new user's machine with `dealtrace run` running."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **without_settings(),
            "HOME": folder,
            "DEALTRACE_HOME": f"{folder}/home",
            "COLUMNS": COLUMNS,
        }
        server = subprocess.Popen(
            [*PROGRAM, "run"],
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env={**environment, "DEALTRACE_PORT": "0"},
            cwd=ROOT,
        )
        try:
            assert server.stderr is not None
            said = ""
            for line in server.stderr:
                said += line
                if line.startswith("Ctrl-C stops"):
                    break
            address = re.search(r"http://[\d.:]+", said)
            assert address, said
            yield Tour(environment, address[0])
        finally:
            server.send_signal(signal.SIGINT)
            server.communicate(timeout=60)


class Tour:
    """Runs the tour's commands."""

    def __init__(self, environment: dict[str, str], address: str) -> None:
        self._environment, self._address = environment, address

    def run(self, command: str) -> str:
        """What the command prints, on either stream."""
        command = command.replace("http://127.0.0.1:8400", self._address)
        program = " ".join(["'" + part + "'" for part in PROGRAM])
        command = re.sub(r"^dealtrace ", lambda _: f"{program} ", command)
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            env=self._environment,
            cwd=ROOT,
            timeout=120,
            check=False,
        )
        return "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines())


def _write() -> None:
    with toured() as tour:
        outputs = {command: tour.run(command) for command, _ in told()}

    def anew(block: re.Match[str]) -> str:
        commands = [part.partition("\n")[0] for part in re.split(r"^\$ ", block[0], flags=re.MULTILINE)[1:]]
        return "\n\n".join(f"$ {command}\n{outputs[command]}" for command in commands) + "\n"

    README.write_text(_BLOCK.sub(anew, README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(_write())
