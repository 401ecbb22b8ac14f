"""docs/import.md says what the command does: its files are imported as it says, and its words are those there are."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tierwise.cli import build
from tierwise.files.mapping import mapping_schema, ready_mappings

GUIDE = (Path(__file__).parents[2] / "docs" / "import.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"```sh\n(tierwise import [^\n]*--dry-run)\n```\n+```json\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize(("command", "shown"), COMMANDS)
def test_what_is_shown_is_what_comes_out(
    command: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", GUIDE, re.DOTALL):
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    outcome = CliRunner().invoke(build(), command.split()[1:])
    assert outcome.exit_code == 0, outcome.output
    found, expected = documents(outcome.stdout), documents(shown)
    for document in found:
        for interaction in document.get("interactions", ()):
            assert {interaction.pop(name) for name in ("received", "batch")}
    assert found == expected


def documents(text: str) -> list[Any]:
    """JSON values one after another."""
    found, at = [], 0
    while at < len(text.rstrip()):
        value, at = json.JSONDecoder().raw_decode(text, at + len(text[at:]) - len(text[at:].lstrip()))
        found.append(value)
    return found


def test_every_word_and_every_ready_mapping_is_named() -> None:
    schema = mapping_schema()
    words = {*schema["properties"], *schema["$defs"]["Entry"]["properties"], *schema["$defs"]["Column"]["properties"]}
    missing = [word for word in [*sorted(words - {"about"}), *ready_mappings()] if f"`{word}`" not in GUIDE]
    assert missing == []
    assert len(COMMANDS) == 2
