"""What infra/compose.yaml starts: verbs and settings that exist, secrets from files alone, few rights, bounded."""

import os
import secrets
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict

from api.cli.program import program
from infra.postgres import external_server
from infra.settings import Settings
from tests.cli.conftest import Program, without_settings
from tests.operations.servers import PROGRAMS_15, PostgreSQL15

INFRA = Path(__file__).parents[2] / "infra"
COMPOSE: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"] == "dealtrace"]


def test_there_are_a_database_a_migration_an_api_and_a_projector() -> None:
    assert SERVICES.keys() == {"postgresql", "migrate", "api", "projector"}


@pytest.mark.parametrize("name", OURS)
def test_our_services_use_verbs_and_settings_that_exist(name: str) -> None:
    verbs = {command.name for command in program().registered_commands}
    assert SERVICES[name]["command"][0] in verbs
    rows = [column.metadata["row"] for column in fields(Settings)]
    known = {row.variable for row in rows} | {f"{row.variable}_FILE" for row in rows if row.secret}
    environment = SERVICES[name]["environment"]
    assert environment.keys() <= known
    secret = {row.variable for row in rows if row.secret}
    assert not environment.keys() & secret, "secrets come from files"


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_few_rights_and_only_the_secrets_it_reads(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("network_mode") in ("none", "host")
    assert service.get("network_mode") == "none" or name == "api"
    assert not any(word in str(service["environment"]) for word in ("://", "password:"))
    assert set(service["secrets"]) <= COMPOSE["secrets"].keys()
    if name in OURS:
        assert service["read_only"]
        read = {
            value.removeprefix("/run/secrets/")
            for key, value in service["environment"].items()
            if key.endswith("_FILE")
        }
        assert read == set(service["secrets"])
    if name != "migrate":
        assert service["healthcheck"]["test"]


def test_secrets_and_data_stay_out_of_the_image() -> None:
    ignored = (INFRA.parent / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[1] == "*"
    assert "infra/secrets" in ignored
    copied = [
        line.split()[1]
        for line in (INFRA / "Containerfile").read_text(encoding="utf-8").splitlines()
        if line.startswith("COPY") and "--from" not in line and "pyproject" not in line
    ]
    assert sorted(copied) == ["api", "domain", "infra", "projections", "workers"]


@pytest.mark.slow
def test_the_logins_that_it_makes_are_enough_and_no_more(tmp_path: Path) -> None:
    if not (PROGRAMS_15 / "psql").exists():
        pytest.skip(f"PostgreSQL 15 is not installed in {PROGRAMS_15}")
    (folder := tmp_path / "postgresql").mkdir()
    postgresql = PostgreSQL15(folder)
    postgresql.start()
    try:
        superuser = postgresql._url("postgres", "postgres")
        external_server(superuser, None)  # waits for it
        parts = conninfo_to_dict(superuser)
        urls = {}
        for name, login in (("owner_url", "dealtrace_owner"), ("app_url", "dealtrace_app")):
            password = secrets.token_hex(24)
            urls[name] = f"postgresql://{login}:{password}@127.0.0.1:{parts['port']}/dealtrace"
            (tmp_path / name).write_text(urls[name])
        subprocess.run(
            ["sh", INFRA / "compose-logins.sh"],
            check=True,
            stdout=subprocess.DEVNULL,
            env={
                "PATH": f"{PROGRAMS_15}:{os.environ['PATH']}", "SECRETS": str(tmp_path), "PGHOST": "127.0.0.1",
                "PGPORT": str(parts["port"]), "PGPASSWORD": str(parts["password"]),
            },
        )  # fmt: skip
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(urls["app_url"].replace("dealtrace_app:", "dealtrace_app:x"))
        environment = {
            "DATABASE_URL_FILE": str(tmp_path / "app_url"),
            "DATABASE_OWNER_URL_FILE": str(tmp_path / "owner_url"),
            "DEALTRACE_HOME": str(tmp_path / "home"),
        }
        dealtrace = Program({**without_settings(), **environment}, tmp_path)
        assert dealtrace("migrate").code == 0
        assert dealtrace("funnels", "--format", "json", DATABASE_OWNER_URL_FILE="").code == 0
        said = dealtrace("doctor", "--format", "json")
        verdicts = {f["check"]: f["verdict"] for f in said.json["findings"]}
        assert verdicts["privileges"] == "ok"
        assert verdicts["migrations"] == "ok"
    finally:
        postgresql.stop("immediate")
