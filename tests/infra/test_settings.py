"""Settings: read from the environment, refused in one sentence, and never showing a password."""

from pathlib import Path

import pytest

from infra.settings import SettingError, Settings, configuration_reference

URL = "postgresql://app:tr0mbone@db.example:5433/dealtrace"


def test_without_an_environment_everything_has_its_default() -> None:
    settings = Settings.from_environment({})
    assert settings == Settings()
    assert (settings.host, settings.port, settings.home) == ("127.0.0.1", 8400, Path(".dealtrace"))
    assert settings.database_url is None


def test_an_empty_variable_counts_as_not_set() -> None:
    assert Settings.from_environment({"DEALTRACE_PORT": "", "DATABASE_URL": ""}) == Settings()


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text(URL + "\n", encoding="utf-8")
    assert Settings.from_environment({"DATABASE_URL_FILE": str(secret)}).database_url == URL


def test_a_secret_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="DATABASE_URL and DATABASE_URL_FILE are both set"):
        Settings.from_environment({"DATABASE_URL": URL, "DATABASE_URL_FILE": str(tmp_path / "url")})


def test_a_missing_secret_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"DATABASE_URL_FILE names .*gone.*No such file"):
        Settings.from_environment({"DATABASE_URL_FILE": str(tmp_path / "gone")})


@pytest.mark.parametrize(
    ("variable", "text", "accepted"),
    [
        ("DEALTRACE_PORT", "eighty", "a whole number from 0 to 65535, not 'eighty'"),
        ("DEALTRACE_PORT", "65536", "a whole number"),
        ("DEALTRACE_PORT", "-1", "a whole number"),
        ("DEALTRACE_PORT", "٣", "a whole number"),
        ("DEALTRACE_LOG_FORMAT", "xml", "`text` or `json`"),
        ("DEALTRACE_LOG_LEVEL", "loud", "`debug`, `info`, `warning` or `error`"),
        ("DEALTRACE_HOST", "a b", "a host name"),
        ("DATABASE_URL", "mysql://x", "`postgresql://"),
    ],
)
def test_a_bad_value_is_refused_naming_the_variable_and_what_it_accepts(
    variable: str, text: str, accepted: str
) -> None:
    with pytest.raises(SettingError) as refused:
        Settings.from_environment({variable: text})
    assert str(refused.value).startswith(f"{variable} must be ")
    assert accepted in str(refused.value)


def test_a_bad_secret_is_not_repeated_in_the_message() -> None:
    with pytest.raises(SettingError) as refused:
        Settings.from_environment({"DATABASE_URL": "mysql://app:tr0mbone@db"})
    assert "tr0mbone" not in str(refused.value)


def test_an_owner_login_without_a_database_is_refused() -> None:
    with pytest.raises(SettingError, match="DATABASE_OWNER_URL is set without DATABASE_URL"):
        Settings.from_environment({"DATABASE_OWNER_URL": URL})


def test_no_repr_shows_a_password() -> None:
    settings = Settings.from_environment({"DATABASE_URL": URL, "DATABASE_OWNER_URL": URL})
    assert "tr0mbone" not in repr(settings) + str(settings)


def test_the_configuration_page_is_the_generated_one() -> None:
    page = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert page.read_text(encoding="utf-8") == configuration_reference(), "run: make docs"
