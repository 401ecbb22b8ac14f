"""YAML as its authors expect it: `Yes` is a word and not true, `12:30` a time of day and not 750, a date is text."""

import re
from typing import Any, NamedTuple

import yaml


class Repeated(NamedTuple):
    """A key that stands twice in a mapping, the second time here, counted from 1."""

    line: int
    column: int
    key: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: the key {self.key!r} stands here twice"


class _Loader(yaml.SafeLoader):
    """The core schema of YAML 1.2 instead of 1.1's. `repeated`: where a key stands twice."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  (PyYAML's own form)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.repeated: list[Repeated] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key has to be a word", key.start_mark)
            if key.value in seen:
                self.repeated.append(Repeated(key.start_mark.line + 1, key.start_mark.column + 1, key.value))
            seen.add(key.value)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?[0-9]+", [*"-+0123456789"]),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?", [*"-+.0123456789"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def load_yaml(text: str) -> Any:
    """Raises yaml.YAMLError, which names line and column where it can; for a key that stands twice, too."""
    document, repeated = parse_yaml(text)
    if repeated:
        raise yaml.YAMLError(str(repeated[0]))
    return document


def parse_yaml(text: str) -> tuple[Any, list[Repeated]]:
    """The same, and the keys that stand twice, of which the last one counts."""
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data(), sorted(set(loader.repeated))
        finally:
            loader.dispose()
    except RecursionError as error:
        raise yaml.YAMLError("nested too deeply") from error
    except (ValueError, TypeError, AttributeError, LookupError) as error:  # a tag that its value does not fit
        raise yaml.YAMLError(f"a value is not what its tag says: {error}") from error
