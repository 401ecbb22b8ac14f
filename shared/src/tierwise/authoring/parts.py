"""A rulebook's document taken apart: what is shown as a row of a table, and compared with another one's."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from tierwise.domain.rulebook.expressions import Node
from tierwise.domain.rulebook.parse import parse
from tierwise.domain.rulebook.schema import Document

_EXPRESSIONS: Final = frozenset({"where", "when", "metric"})
_DAYS: Final = frozenset({"half_life", "horizon"})


@dataclass(frozen=True, slots=True)
class Part:
    """Something that has a name. `section`: the path of names to it; `texts`: its fields for people; `meaning`: its
    fields so that equal ones mean the same; `ordered`: whether it counts where in its section it stands."""

    section: str
    name: str
    texts: dict[str, str]
    meaning: dict[str, Any]
    ordered: bool = False


def parts(document: Document) -> list[Part]:
    """Everything that a (valid) document says, in its order."""
    whole = document.model_dump(mode="json", by_alias=True, exclude_none=True)
    found: list[Part] = []
    for section, value in _sections(whole):
        if section in ("tags", "strategies"):
            found += _grouped(section, value)
        elif isinstance(value, list):
            found += [_part(section, name, one, ordered=bool(one)) for name, one in _named(value)]
        elif isinstance(value, dict):
            ordered = section in ("intent.levels", "tiers.cuts")
            found += [_part(section, name, one, ordered=ordered) for name, one in value.items()]
        else:
            found.append(_part("", section, value))
    return found


def _sections(whole: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in whole.items():
        if name in ("intent", "tiers", "interests"):
            yield from ((f"{name}.{inner}", part) for inner, part in value.items())
        else:
            yield name, value


def _grouped(section: str, groups: Mapping[str, Any]) -> Iterator[Part]:
    """Of tags every value is a part, the first that holds being the customer's; of strategies every name."""
    for group, names in groups.items():
        for name, value in names.items():
            if section == "tags":
                for tag, when in value.items():
                    yield _part(f"tags.{group}.{name}", tag, {"when": when}, ordered=True)
            else:
                yield _part(f"{section}.{group}", name, value)


def _named(items: Iterable[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Items of a list by what they are called, with a number where that has been before; texts are but a name."""
    times: Counter[str] = Counter()
    for item in items:
        if isinstance(item, str):
            yield item, {}
            continue
        called = next(word for word in ("stage", "source", "name") if word in item)
        name = str(item[called])
        times[name] += 1
        rest = {word: value for word, value in item.items() if word != called}
        yield name if times[name] == 1 else f"{name} ({times[name]})", rest


def _part(section: str, name: str, value: Any, *, ordered: bool = False) -> Part:
    named = value if isinstance(value, dict) else {"": value}
    texts = {field: text_of(field or name, one) for field, one in named.items()}
    meaning = {field: _meaning(field, one) for field, one in named.items()}
    return Part(section, name, texts, meaning, ordered)


def text_of(field: str, value: Any) -> str:
    if field in _DAYS and isinstance(value, int):
        return f"{value}d"
    if isinstance(value, dict):
        return ", ".join(f"{_number(name)}: {text_of('', one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(text_of("", one) for one in value)
    return _number(value)


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.12g}"
    return str(value).removesuffix(".0")  # a number that was a key


def _meaning(field: str, value: Any) -> Any:
    if field in ("channel", "type") and isinstance(value, str):
        return [value]
    return _shape(parse(value)) if field in _EXPRESSIONS else value


def _shape(node: Any) -> Any:
    """An expression without where its nodes stand, so that blanks and brackets do not count."""
    if isinstance(node, Node):
        inner = (_shape(getattr(node, field.name)) for field in fields(node) if field.name != "offset")
        return (type(node).__name__, *inner)
    return tuple(map(_shape, node)) if isinstance(node, tuple) else node
