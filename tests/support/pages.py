"""Pages of the documentation: their fenced blocks, and what the ones about rulebooks mean."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tierwise.domain.document import load_yaml
from tierwise.domain.interaction import Interaction

ROOT = Path(__file__).parents[2]


class Block(NamedTuple):
    """`kind`: all that stands behind the opening fence, such as `yaml whole`. `line`: counted from 1."""

    kind: str
    text: str
    line: int


class Example(NamedTuple):
    """A block with what it is about: the rulebook and the history that stand above it on the page."""

    block: Block
    rulebook: str
    history: list[Interaction]


def blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.finditer(r"^```([^\n]+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(one[1], one[2], text.count("\n", 0, one.start()) + 1) for one in found]


def examples(page: str) -> Iterator[Example]:
    """`yaml whole` is a rulebook; `yaml` and `yaml wrong` are parts, to be put into the last whole one; `ndjson` is a
    history. A wrong part is what the next block alone is about."""
    whole: dict[str, Any] = {}
    rulebook, history = "", []
    for block in blocks(page):
        text = rulebook
        if block.kind == "yaml whole":
            whole = load_yaml(block.text)
            text = rulebook = block.text
        elif block.kind.startswith("yaml"):
            text = rulebook = yaml.safe_dump(merged(whole, load_yaml(block.text)), sort_keys=False, allow_unicode=True)
        elif block.kind == "ndjson":
            history = [_interaction(line) for line in block.text.splitlines()]
        yield Example(block, text, history)


def merged(into: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Mappings name by name, all else replaced."""
    result = deepcopy(into)
    for name, value in part.items():
        both = isinstance(value, dict) and isinstance(result.get(name), dict)
        result[name] = merged(result[name], value) if both else value
    return result


def rows(text: str) -> list[tuple[str, str]]:
    """Lines of `what -> value`."""
    pairs = [line.rpartition("->") for line in text.splitlines() if line.strip()]
    return [(what.strip(), value.strip()) for what, _, value in pairs]


def _interaction(line: str) -> Interaction:
    given = json.loads(line)
    time = datetime.fromisoformat(given.pop("time"))
    return Interaction(source="page", time=time, received=time, **given)
