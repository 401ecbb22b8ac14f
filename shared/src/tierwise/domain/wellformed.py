"""What JSON allows and Tierwise does not: the same key twice, NUL, deep nesting, integers beyond 64 bits.

The decoder is silent on these, and looking for them in each interaction would cost more than decoding it. So
each has a test on the bytes that can only err towards suspicion, and an exact look at what is suspect.
"""

import json
from collections.abc import Iterator
from typing import Any

from tierwise.domain.rejection import InvalidInteraction

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def check_keys_and_text(raw: bytes, quotes_expected: int) -> None:
    """Raises InvalidInteraction for a repeated key (of any object within) and for a NUL character.

    `raw`: an object that has been decoded without error; `quotes_expected`: of what was decoded, at most the
    quotation marks that it takes to write it without repeated keys. Each key costs two, so a repeated one
    leaves `raw` with more; only text that itself holds quotation marks cannot be judged by counting.
    """
    escapes = b"\\" in raw
    if raw.count(b'"') != quotes_expected or (escapes and (b'\\"' in raw or b"\\u0022" in raw)):
        json.loads(raw, object_pairs_hook=_without_repeats)
    if escapes and b"\\u0000" in raw:
        for path, value in _walk(json.loads(raw)):
            if "\0" in path or (isinstance(value, str) and "\0" in value):
                raise InvalidInteraction("nul_character", path.replace("\0", "\\u0000"), "NUL cannot be stored")


def check_nesting(document: dict[str, Any], field: str, *, depth_max: int) -> None:
    """Raises InvalidInteraction for containers nested more than `depth_max` deep, `document` itself being the
    second level (an interaction is the first), and for integers that do not fit 64 bits with sign."""
    level: list[Any] = [document]
    for _ in range(depth_max - 1):
        children = [child for value in level for child in _children(value)]
        if any(type(child) is int and not INT64_MIN <= child <= INT64_MAX for child in children):
            raise InvalidInteraction("number_out_of_range", field, "Integers have at most 64 bits")
        level = [child for child in children if isinstance(child, dict | list)]
        if not level:
            return
    raise InvalidInteraction("too_deep", field, f"Objects and arrays nest at most {depth_max} deep")


def diagnose(raw: bytes) -> InvalidInteraction:
    """Why `raw`, on which the decoder failed, is not JSON that can be kept."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        return InvalidInteraction("invalid_utf8", None, f"Byte {error.start} is not UTF-8")
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except InvalidInteraction as error:
        return error
    except RecursionError:
        return InvalidInteraction("too_deep", None, "Objects and arrays nest too deep")
    except ValueError as error:
        return InvalidInteraction("invalid_json", None, f"Not JSON: {error}")
    for path, value in _walk(document):
        if not (_is_unicode(path) and _is_unicode(value)):
            shown = path.encode(errors="backslashreplace").decode()
            return InvalidInteraction("lone_surrogate", shown or None, "Half of a surrogate pair is no text")
    return InvalidInteraction("invalid_json", None, "Not JSON, or a number that no computer word holds")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise InvalidInteraction("duplicate_key", repeated[:64], "The key stands twice in one object")
    return found


def _walk(document: object) -> Iterator[tuple[str, Any]]:
    """(path, value) of everything in a document, without recursion. Keys are in the paths."""
    waiting: list[tuple[str, Any]] = [("", document)]
    while waiting:
        path, value = waiting.pop()
        yield path, value
        if isinstance(value, dict):
            waiting.extend((f"{path}.{key}" if path else key, child) for key, child in value.items())
        elif isinstance(value, list):
            waiting.extend((f"{path}[{index}]", child) for index, child in enumerate(value))


def _children(value: dict[str, Any] | list[Any]) -> Iterator[Any]:
    return iter(value.values() if isinstance(value, dict) else value)


def _is_unicode(value: object) -> bool:
    return not isinstance(value, str) or not any("\ud800" <= character <= "\udfff" for character in value)


def _refuse_constant(name: str) -> None:
    raise InvalidInteraction("invalid_number", None, f"{name} is not JSON; leave the field out instead")
