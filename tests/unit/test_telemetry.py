"""What is logged: events with fields on stderr, for people or machines, libraries' too, without values of locals."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.support.database import test_settings
from tierwise.settings import Settings
from tierwise.telemetry import configure_logging


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return test_settings(database_url=None, data_dir=tmp_path)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_json_logs_are_one_object_a_line_with_the_fields(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(settings.model_copy(update={"log_format": "json"}))
    structlog.get_logger("tierwise.test").info("batch_stored", interactions=3)
    logging.getLogger("some.library").warning("it says %s", "so")
    captured = capsys.readouterr()
    first, second = map(json.loads, captured.err.splitlines())
    assert (first["event"], first["interactions"], first["level"]) == ("batch_stored", 3, "info")
    assert (second["event"], second["logger"], second["level"]) == ("it says so", "some.library", "warning")
    assert captured.out == ""


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_logged_error_has_its_frames_but_not_their_values(
    settings: Settings, capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    configure_logging(settings.model_copy(update={"log_format": log_format}))
    address = "li@example.com"
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        structlog.get_logger("tierwise.test").exception("failed")
    said = capsys.readouterr().err
    assert "broken" in said
    assert "test_telemetry" in said
    assert address not in said


def test_the_level_is_a_setting_and_access_logs_of_libraries_are_silent(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(settings.model_copy(update={"log_level": "warning"}))
    structlog.get_logger("tierwise.test").info("quiet")
    logging.getLogger("uvicorn.access").warning("GET /v1/customers/by/email/li@example.com")
    assert capsys.readouterr().err == ""
