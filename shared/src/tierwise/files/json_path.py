"""JSON paths: where in a document a value stands. The part of RFC 9535 that selects without computing.

$.call.from[0].number    $['phone number']    $.items[*].sku    @.sku (of the element at hand)
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

_STEP: Final = re.compile(
    r"\.(?P<name>[^\s.\[\]'\"*@$]+)|\[(?P<index>\d+)\]|\['(?P<single>[^']*)'\]|\[\"(?P<double>[^\"]*)\"\]|(?P<all>\.\*|\[\*\])"
)

Find = Callable[[Any], Iterator[Any]]


def check_path(path: str) -> str:
    """The path. Raises ValueError saying where it goes wrong."""
    _steps(path)
    return path


def is_relative(path: str) -> bool:
    """Whether it is of the element at hand (@) and not of the whole document ($)."""
    return path.startswith("@")


def selects_many(path: str) -> bool:
    return None in _steps(path)


def compile_path(path: str) -> Find:
    """A function from a document to all that stands there, in the document's order; nothing where nothing does."""
    steps = _steps(path)

    def find(document: Any) -> Iterator[Any]:
        found = [document]
        for step in steps:
            found = [inner for outer in found for inner in _inside(outer, step)]
        return iter(found)

    return find


def _steps(path: str) -> list[str | int | None]:
    """Names, indexes, and None for every one."""
    if path[:1] not in ("$", "@"):
        raise ValueError(f"{path!r} is no JSON path: begin it with $ (the document) or @ (the element of `each`)")
    steps: list[str | int | None] = []
    at = 1
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            raise ValueError(f"{path!r} is no JSON path: what stands at character {at + 1} ({path[at:][:20]!r})?")
        if step["index"] is not None:
            steps.append(int(step["index"]))
        elif step["all"] is not None:
            steps.append(None)
        else:
            steps.append(next(name for name in (step["name"], step["single"], step["double"]) if name is not None))
        at = step.end()
    return steps


def _inside(value: Any, step: str | int | None) -> list[Any]:
    if step is None:
        return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    if isinstance(step, int):
        return value[step : step + 1] if isinstance(value, list) else []
    return [value[step]] if isinstance(value, dict) and step in value else []
