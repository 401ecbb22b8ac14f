"""The READMEs say what the code does: every setting with its default, and only commands that there are."""

import re
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from tierwise.cli import build
from tierwise.settings import Settings

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "README.zh-CN.md")
UNSET = ("unset", "未设置")
COMMAND_HEADERS = ("| Command | ", "| 命令 | ")

readmes = pytest.mark.parametrize("name", READMES)


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def documented_settings(name: str) -> dict[str, str]:
    """Setting to what stands in the column of defaults."""
    return dict(re.findall(r"^\| `TIERWISE_(\w+)` \| (.*?) \|", text_of(name), re.MULTILINE))


def documented_commands(name: str) -> list[list[str]]:
    """The words of every command in the table's first column."""
    _, _, rows = next(part for head in COMMAND_HEADERS if (part := text_of(name).partition(head))[1])
    cells = [line.split(" | ")[0] for line in takewhile(lambda line: line.startswith("|"), rows.splitlines()[1:])]
    return [quoted.split() for cell in cells for quoted in re.findall(r"`([^`]+)`", cell)]


def command_line() -> TyperGroup:
    found = typer.main.get_command(build())
    assert isinstance(found, TyperGroup)
    return found


def path_of(words: list[str]) -> list[str]:
    """`key create --source NAME` -> key, create."""
    return list(takewhile(lambda word: re.fullmatch(r"[a-z][a-z-]*", word), words))


def options_of(path: list[str]) -> set[str] | None:
    """None where there is no such command."""
    command: Any = command_line()
    for word in path:
        command = command.commands.get(word) if isinstance(command, TyperGroup) else None
    return None if command is None else {option for parameter in command.params for option in parameter.opts}


@readmes
def test_every_setting_stands_in_the_table_with_its_default(name: str) -> None:
    documented = documented_settings(name)

    assert sorted(documented) == sorted(field.upper() for field in Settings.model_fields)
    for field, info in Settings.model_fields.items():
        shown = documented[field.upper()]
        if info.default in (None, ()):
            assert shown in UNSET, field
        else:
            assert shown == f"`{str(info.default).removesuffix('.0')}`", field


def test_the_example_environment_has_every_setting() -> None:
    named = re.findall(r"^#TIERWISE_(\w+)=", text_of(".env.example"), re.MULTILINE)

    assert sorted(named) == sorted(field.upper() for field in Settings.model_fields)


@readmes
def test_the_table_names_only_commands_and_options_that_there_are(name: str) -> None:
    for words in documented_commands(name):
        path = path_of(words)
        known = options_of(path)
        assert path, words
        assert known is not None, f"there is no `tierwise {' '.join(path)}`"
        assert set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", " ".join(words))) <= known, words


@readmes
def test_every_command_stands_in_the_table(name: str) -> None:
    assert {path_of(words)[0] for words in documented_commands(name)} == set(command_line().commands)


@pytest.mark.parametrize("language", ["sh", "json", "text"])
def test_both_readmes_show_the_same_input_and_output(language: str) -> None:
    shown = [re.findall(rf"```{language}\n(.*?)```", text_of(name), re.DOTALL) for name in READMES]

    assert shown[0]
    assert shown[0] == shown[1]


@readmes
def test_files_that_are_linked_or_drawn_exist(name: str) -> None:
    text = text_of(name)
    linked = re.findall(r"\]\(([^):]+)\)", text)
    picture = text.partition("```mermaid")[2].partition("```")[0]
    tracked = {path.name for place in ("shared", "services") for path in (ROOT / place).rglob("*.py")}

    assert [path for path in linked if not (ROOT / path).exists()] == []
    assert set(re.findall(r"(\w+\.py)", picture)) <= tracked
