"""What is wrong with a rulebook, each error with the line and column of the document where it stands."""

import re
from typing import Final, NamedTuple

import yaml

from tierwise.domain.document import parse_yaml
from tierwise.domain.rulebook import RulebookError, load

_ERROR: Final = re.compile(r"(?P<place>[^:]*): (?P<message>.*)", re.DOTALL)
_IN_EXPRESSION: Final = re.compile(r"line (\d+), column (\d+): ")
_NAMES_OF_ITEMS: Final = ("stage", "name", "source")  # by which an item of a list is called


class Finding(NamedTuple):
    """`place`: the path of names to it, `intent.points.pricing_view`. `line` and `column` count from 1; both are
    None where the document as a whole is meant."""

    place: str
    line: int | None
    column: int | None
    message: str


def findings(text: str) -> list[Finding]:
    """All errors of a rulebook, in the order of the document; none for one that can be published."""
    try:
        parse_yaml(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        return [Finding("", mark.line + 1, mark.column + 1, said) if mark else Finding("", None, None, said)]
    except yaml.YAMLError as error:  # a character that YAML has not
        return [Finding("", None, None, str(error))]
    try:
        load(text)
    except RulebookError as error:
        found = [_located(message, root, text) for message in error.errors]
        return sorted(found, key=lambda finding: (finding.line or 0, finding.column or 0))
    return []


def _located(error: str, root: yaml.Node | None, text: str) -> Finding:
    match = _ERROR.fullmatch(error)
    place, message = (match["place"], match["message"]) if match else ("", error)
    node, mark = _walk(root, place)
    if place == "the rulebook" and (there := _IN_EXPRESSION.match(message)):
        return Finding("", int(there[1]), int(there[2]), message[there.end() :])
    if (inside := _IN_EXPRESSION.match(message)) and (scalar := _expression(node)) is not None:
        line, column = _position_in(scalar, int(inside[1]), int(inside[2]), text)
        return Finding(place, line, column, message[inside.end() :])
    if mark is None:
        return Finding(place, None, None, message)
    return Finding(place, mark.line + 1, mark.column + 1, message)


def _walk(root: yaml.Node | None, place: str) -> tuple[yaml.Node | None, yaml.Mark | None]:
    """The node at a place, or as far on the way to it as there is one; and where its name stands."""
    node, mark = root, None
    parts = place.split(".") if place else []
    while parts:
        for length in range(len(parts), 0, -1):  # names may have dots themselves
            step = _step(node, ".".join(parts[:length]))
            if step is not None:
                break
        else:
            break
        (node, mark), parts = step, parts[length:]
    return node, mark


def _step(node: yaml.Node | None, name: str) -> tuple[yaml.Node, yaml.Mark] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == name:
                return value, key.start_mark
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            if name == str(index) or name in _names(item):
                return item, item.start_mark
    return None


def _names(item: yaml.Node) -> list[str]:
    if not isinstance(item, yaml.MappingNode):
        return []
    return [value.value for key, value in item.value if key.value in _NAMES_OF_ITEMS]


def _expression(node: yaml.Node | None) -> yaml.ScalarNode | None:
    """The scalar that holds the expression of a place, which may name the item that has it."""
    if isinstance(node, yaml.MappingNode):
        step = _step(node, "when")
        node = step[0] if step else None
    return node if isinstance(node, yaml.ScalarNode) else None


def _position_in(scalar: yaml.ScalarNode, line: int, column: int, text: str) -> tuple[int, int]:
    """Where the line and column of a scalar's value stand in the document; its beginning, where quoting, folding or
    indentation has moved them."""
    start = scalar.start_mark
    at = (start.line + line, column + (start.column + len(scalar.style or "") if line == 1 else 0))
    lines, wanted = text.splitlines(), scalar.value.splitlines()[line - 1 : line]
    rest = wanted[0][column - 1 : column + 7] if wanted else ""
    there = lines[at[0] - 1][at[1] - 1 :] if at[0] <= len(lines) else ""
    return at if there.startswith(rest) else (start.line + 1, start.column + 1)
