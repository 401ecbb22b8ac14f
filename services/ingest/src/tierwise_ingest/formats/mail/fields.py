"""JSON that somebody else wrote, and the forms in which such documents write times and addresses."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import getaddresses
from typing import Any

import msgspec

from tierwise_ingest.body import InvalidBody


class Fields:
    """An object of which nothing is promised: what is missing, or is of another type than was asked for, is None."""

    __slots__ = ("held",)

    def __init__(self, held: object) -> None:
        self.held: dict[str, Any] = held if isinstance(held, dict) else {}

    def get(self, *path: str) -> Any:
        found: Any = self.held
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    def text(self, *path: str) -> str | None:
        """A text that is not empty, or a whole number as one."""
        found = self.get(*path)
        if isinstance(found, int) and not isinstance(found, bool):
            return str(found)
        return found if isinstance(found, str) and found else None

    def inner(self, *path: str) -> "Fields":
        return Fields(self.get(*path))

    def array(self, *path: str) -> list[Any]:
        found = self.get(*path)
        return found if isinstance(found, list) else []

    def texts(self, *path: str) -> list[str]:
        """Of a list, or of one text alone; texts that are empty are left out."""
        found = self.get(*path)
        return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, str) and one]


def document(body: bytes) -> Any:
    """The body as JSON, whatever media type it was sent as. Raises InvalidBody."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidBody(f"The body is no JSON: {error}") from error


def nested(text: str | None) -> Any:
    """JSON that stands in a text; None where it is none."""
    try:
        return None if text is None else msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def elements(found: Any) -> Iterator[Fields]:
    """The objects of an array, or the one object that stands for it. Raises InvalidBody."""
    if not isinstance(found, dict | list):
        raise InvalidBody("The body is neither a JSON object nor an array of them.")
    for one in found if isinstance(found, list) else [found]:
        yield Fields(one)


def seconds(value: object) -> datetime | None:
    """Since 1970, as a number or in digits."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def instant(text: str | None) -> datetime | None:
    """RFC 3339 or near to it; UTC where no zone is named, as providers mean it."""
    try:
        read = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None
    return read.replace(tzinfo=UTC) if read is not None and read.tzinfo is None else read


def addresses(values: list[str]) -> list[str]:
    """The bare addresses of header values: `Li <li@example.com>, wang@example.com`."""
    return [address for _, address in getaddresses(values) if address]
