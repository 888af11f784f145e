"""A page in a real Chromium: what it looks like to a program, what it asked the network for, what it complained of."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)


@dataclass(frozen=True)
class Opened:
    """The document after it was shown, the addresses that the page asked for, and what was written on its console."""

    document: str
    requests: list[str]
    console: list[str]


def opened(page: str, folder: Path, *, width: int = 1200) -> Opened:
    """Open a page. Skips where there is no Chromium."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine to open the report in")
    file, net_log = folder / "page.html", folder / "net.json"
    file.write_text(page, encoding="utf-8")
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            f"--user-data-dir={folder / 'profile'}",
            f"--log-net-log={net_log}",
            "--enable-logging=stderr",
            f"--window-size={width},2000",
            "--dump-dom",
            file.as_uri(),
        ],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
        env={**os.environ, "HOME": str(folder)},
    )
    return Opened(
        done.stdout, _requests(net_log), [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    )


def _requests(net_log: Path) -> list[str]:
    """What the page asked for: requests of the browser itself have no origin as their initiator."""
    told = json.loads(net_log.read_text(encoding="utf-8"))
    started = (event.get("params", {}) for event in told["events"])
    return [
        params["url"]
        for params in started
        if "url" in params and params.get("initiator", "not an origin") != "not an origin"
    ]
