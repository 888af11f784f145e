"""Every dependency is pinned, explained, and from nowhere in particular."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = [
    line
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def asked_for() -> set[str]:
    """Names of the packages that pyproject.toml asks for, in any extra."""
    wanted = [
        *PROJECT["dependencies"],
        *(w for extra in PROJECT["optional-dependencies"].values() for w in extra),
    ]
    return {normal(re.split(r"[^A-Za-z0-9._-]", requirement)[0]) for requirement in wanted}


def test_a_pin_is_a_name_and_a_version_and_nothing_else() -> None:
    assert [pin for pin in PINS if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", pin)] == []


def test_every_package_asked_for_is_pinned() -> None:
    assert asked_for() - {normal(pin.partition("==")[0]) for pin in PINS} == set()


def test_every_package_asked_for_is_explained_and_no_other() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    explained = {
        normal(name) for name in re.findall(r"^\| ([a-z][\w.-]*)(?: \([^|]*\))? \|", page, re.MULTILINE)
    }
    assert explained - {"package"} == asked_for()
