"""Settings: where they come from, and what is said of those that are none."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from tierwise import cli
from tierwise.settings import Settings

KEY = "a-key-of-more-than-32-characters-in-all"


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    file = tmp_path / "mounted"
    file.write_text(f"{KEY}\n")
    return file


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory without a `.env`."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("field", ["secret_key", "database_url", "kafka_password"])
def test_a_secret_may_be_a_files(field: str, mounted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"TIERWISE_{field.upper()}_FILE", str(mounted))

    found = getattr(Settings(), field)

    assert (found[0] if isinstance(found, tuple) else found) == SecretStr(KEY)


def test_a_file_holds_several_secret_keys_as_the_setting_does(mounted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted.write_text(f"{KEY},{KEY[::-1]}\n")
    monkeypatch.setenv("TIERWISE_SECRET_KEY_FILE", str(mounted))

    assert [key.get_secret_value() for key in Settings().secret_key] == [KEY, KEY[::-1]]


def test_dot_env_may_name_the_file(tmp_path: Path, mounted: Path) -> None:
    (tmp_path / ".env").write_text(f"TIERWISE_SECRET_KEY_FILE={mounted}\n")

    assert Settings().secret_key == (SecretStr(KEY),)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"SECRET_KEY_FILE": "/nowhere"}, "TIERWISE_SECRET_KEY_FILE: /nowhere: No such file"),
        ({"SECRET_KEY_FILE": "/proc/self/exe"}, "TIERWISE_SECRET_KEY_FILE: /proc/self/exe: not a text"),
        ({"SECRET_KEY_FILE": "/x", "SECRET_KEY": KEY}, "TIERWISE_SECRET_KEY is set too"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_PASSWORD": KEY}, "TIERWISE_KAFKA_USERNAME: needed with"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_USERNAME": "us"}, "TIERWISE_KAFKA_PASSWORD: needed with"),
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "TIERWISE_KAFKA_SECURITY_PROTOCOL: "),
        ({"KAFKA_CA_FILE": "/nowhere"}, "TIERWISE_KAFKA_CA_FILE: "),
    ],
)
def test_a_wrong_setting_is_named_and_no_secret_shown(
    given: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"TIERWISE_{name}", value)
    monkeypatch.setattr("sys.argv", ["tierwise", "doctor"])

    with pytest.raises(SystemExit) as ended:
        cli.main()

    shown = capsys.readouterr().err
    assert ended.value.code == 2
    assert said in shown
    assert KEY not in shown


def test_no_form_of_the_settings_shows_a_secret() -> None:
    given: dict[str, Any] = {name: SecretStr(KEY) for name in ("database_url", "kafka_password")}
    settings = Settings(secret_key=(SecretStr(KEY),), **given)

    assert KEY not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    with pytest.raises(ValidationError) as wrong:
        Settings(secret_key=(SecretStr(KEY),), ingest_port="none", **given)  # type: ignore[arg-type]
    assert KEY not in str(wrong.value)
