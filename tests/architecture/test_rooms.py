"""Every line of code stays in its room, and the domain stays pure."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOMAIN = sorted((ROOT / "domain").rglob("*.py"))

ALLOWED_IN_DOMAIN = {
    "__future__", "abc", "base64", "bisect", "calendar", "collections", "contextlib", "copy", "dataclasses",
    "datetime", "decimal", "enum", "fractions", "functools", "graphlib", "hashlib", "heapq", "itertools", "json",
    "math", "numbers", "operator", "re", "statistics", "string", "struct", "textwrap", "types", "typing",
    "unicodedata", "uuid", "zoneinfo",
    "domain", "msgspec", "numpy", "pydantic", "scipy",
}  # fmt: skip

IMPURE_CALL = re.compile(
    r"([\w.]*\.)?(now|utcnow|today|uuid1|uuid4|getrandbits|urandom)"  # clocks and hidden randomness, however imported
    r"|(time|random|os|secrets|socket|subprocess|sys|logging)\.[\w.]*"
    r"|(numpy|np)\.random\.(?!default_rng$|Generator$|SeedSequence$|PCG64$)[\w.]*"
    r"|open|print|input|exec|eval|breakpoint|__import__"
)


def test_rooms_import_only_what_they_may() -> None:
    linted = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize("module", DOMAIN, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_domain_module_has_no_clock_no_randomness_and_no_io(module: Path) -> None:
    assert list(impurities(module.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import os",
        "from time import monotonic",
        "import psycopg",
        "import infra.settings",
        "from datetime import datetime\nx = datetime.now()",
        "import datetime as dt\nx = dt.datetime.now(dt.UTC)",
        "from datetime import date\nx = date.today()",
        "import uuid\nx = uuid.uuid4()",
        "from uuid import uuid4\nx = uuid4()",
        "from uuid import uuid4\nf(default_factory=uuid4)",
        "x = open('f')",
        "print('x')",
        "import numpy as np\nx = np.random.rand()",
        "import numpy as np\nx = np.random.default_rng()",
        "from random import Random\nx = Random()",
        "from random import random",
    ],
)
def test_the_purity_test_would_notice(source: str) -> None:
    assert list(impurities(source))


def test_the_purity_test_lets_seeded_randomness_pass() -> None:
    assert (
        list(impurities("import numpy as np\ndef f(seed):\n    return np.random.default_rng(seed).normal()"))
        == []
    )


def impurities(source: str) -> Iterator[str]:
    """Every import, call or mention in the source that the domain may not have, as `line: what`."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (f"{node.lineno}: import {n.name}" for n in names if not allowed(n.name))
            case ast.ImportFrom(module=module, names=names):
                if module == "random" and [n.name for n in names] == ["Random"]:
                    continue  # the type of the seeded generator that is passed in
                if module is not None and not allowed(module):
                    yield f"{node.lineno}: from {module}"
                yield from (f"{node.lineno}: {n.name}" for n in names if IMPURE_CALL.fullmatch(n.name))
            case ast.Call(func=func, args=[], keywords=[]) if re.search(
                "(default_rng|Random)$", ast.unparse(func)
            ):
                yield f"{node.lineno}: {ast.unparse(func)} without a seed"
            case ast.Call(func=func) if IMPURE_CALL.fullmatch(ast.unparse(func)):
                yield f"{node.lineno}: {ast.unparse(func)}()"


def allowed(module: str) -> bool:
    return module.partition(".")[0] in ALLOWED_IN_DOMAIN
