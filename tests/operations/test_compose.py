"""What infra/compose.yaml starts: verbs and settings that exist, secrets from files alone, few rights, bounded."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.cli.program import program
from infra.settings import Settings

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
