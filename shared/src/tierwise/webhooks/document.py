"""A subscription as its administrator writes it, in JSON: read and checked, with the same words for the command and
the API.

    {"url": "https://crm.example/tierwise", "filters": {"aspects": ["tier"], "to": ["A", "B"]}}

With a `request` it is a destination: changes go in that system's own form. See `tierwise.webhooks.template`.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from tierwise.domain.change import ASPECTS, SEGMENT
from tierwise.domain.ruling import BLOCK, ERASE, SPLIT, UNBLOCK
from tierwise.problem import Problem
from tierwise.webhooks.template import (
    HIDDEN,
    InvalidTemplate,
    Template,
    check_address,
    plain_address,
    read_template,
)

ONE_ASPECT: Final = "tag:FAMILY.NAME and segment:NAME"
BULK_CAUSES: Final = ("import", "release", "cuts", SEGMENT)
"""Of changes of many customers at once: they are sent only to those that name them."""
CAUSES: Final = ("interaction", "time", "override", "merge", SPLIT, BLOCK, UNBLOCK, ERASE, *BULK_CAUSES)

DESCRIPTION_CHARACTERS_MAX: Final = 500
URL_CHARACTERS_MAX: Final = 2_000
VALUES_MAX: Final = 50
_VALUE_CHARACTERS_MAX: Final = 200


class InvalidSubscription(Problem):
    """`field` is where, dots joining names."""

    status, code, title = 400, "invalid_subscription", "A subscription cannot be like this"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)


class Filters(msgspec.Struct, frozen=True, rename={"old": "from", "new": "to"}):
    """Which changes are sent; empty: any. `aspects`: tier, intent, lifecycle, merge, tag for every tag, or
    tag:FAMILY.NAME. `causes`: empty: all but those of BULK_CAUSES. `segments`: of those who are in one of them, by
    their names."""

    aspects: tuple[str, ...] = ()
    old: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()


class Described(NamedTuple):
    """A subscription that may be made. `request`: None is a Standard Webhook."""

    url: str
    description: str = ""
    enabled: bool = True
    filters: Filters = Filters()
    request: Template | None = None


def read_subscription(document: Any) -> Described:
    """Raises InvalidSubscription."""
    _refuse_unknown(document, Described._fields, "")
    if "url" not in document:
        raise InvalidSubscription("url", "it is required: where the changes are sent")
    request = None if document.get("request") is None else _request(document["request"])
    return Described(
        _url(document["url"], templated=request is not None),
        _description(document.get("description", "")),
        _enabled(document.get("enabled", True)),
        _filters(document.get("filters", {})),
        request,
    )


def patched(described: Described, patch: Any) -> Described:
    """By a JSON merge patch (RFC 7396): what it names is replaced, null is the default again. Raises
    InvalidSubscription."""
    _refuse_unknown(patch, Described._fields, "")
    held = described.request
    document = described._asdict() | {
        "filters": document_of(described.filters),
        "request": None if held is None else msgspec.to_builtins(held),
    }
    changed = _merged(document, patch)
    if isinstance(request := changed.get("request"), dict) and isinstance(headers := request.get("headers"), dict):
        known = {} if held is None else held.headers
        given = {name.lower(): value for name, value in headers.items()}
        request["headers"] = {n: known.get(n, value) if value == HIDDEN else value for n, value in given.items()}
    return read_subscription(changed)


def document_of(filters: Filters) -> dict[str, list[str]]:
    """As plain JSON."""
    plain: dict[str, tuple[str, ...]] = msgspec.to_builtins(filters)
    return {name: list(values) for name, values in plain.items()}


def _merged(old: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    kept: dict[str, Any] = old if isinstance(old, dict) else {}
    merged = kept | {name: _merged(kept.get(name), value) for name, value in patch.items() if value is not None}
    return {name: value for name, value in merged.items() if name not in patch or patch[name] is not None}


def _request(given: Any) -> Template:
    try:
        return read_template(given)
    except InvalidTemplate as error:
        raise InvalidSubscription(f"request.{error.field}".rstrip("."), error.reason) from error


def _url(given: Any, *, templated: bool) -> str:
    if not isinstance(given, str) or not 0 < len(given) <= URL_CHARACTERS_MAX:
        raise InvalidSubscription("url", f"it has 1 to {URL_CHARACTERS_MAX:,} characters")
    if not _is_storable(given):
        raise InvalidSubscription("url", "it is ASCII without spaces")
    plain = given
    if templated:
        try:
            check_address(given)
        except InvalidTemplate as error:
            raise InvalidSubscription("url", error.reason) from error
        plain = plain_address(given)
    if not plain.isascii() or not plain.isprintable() or " " in plain:
        raise InvalidSubscription("url", "it is ASCII without spaces: write other hosts as xn--..., the rest as %..")
    try:
        parts = urlsplit(plain)
        port = parts.port
    except ValueError as error:
        raise InvalidSubscription("url", f"it is none: {error}") from error
    if parts.scheme not in ("https", "http") or not parts.hostname or port == 0:
        raise InvalidSubscription("url", "it begins with https:// and a host")
    if "@" in parts.netloc:
        raise InvalidSubscription("url", "it holds no user and password: the signature says who sends")
    if parts.fragment:
        raise InvalidSubscription("url", "what follows # is never sent: leave it out")
    return given


def _description(given: Any) -> str:
    if not isinstance(given, str) or len(given) > DESCRIPTION_CHARACTERS_MAX or not _is_storable(given):
        raise InvalidSubscription("description", f"it is a text of at most {DESCRIPTION_CHARACTERS_MAX} characters")
    return given


def _enabled(given: Any) -> bool:
    if not isinstance(given, bool):
        raise InvalidSubscription("enabled", "it is true or false")
    return given


def _filters(given: Any) -> Filters:
    names = tuple(field.encode_name for field in msgspec.structs.fields(Filters))
    _refuse_unknown(given, names, "filters")
    for name in names:
        values = given.get(name, [])
        if not isinstance(values, list) or len(values) > VALUES_MAX or not all(map(_is_value, values)):
            raise InvalidSubscription(f"filters.{name}", f"it is a list of at most {VALUES_MAX} texts")
    filters = msgspec.convert(given, Filters)
    for aspect in filters.aspects:
        if aspect not in ASPECTS and not aspect.startswith(("tag:", f"{SEGMENT}:")):
            raise InvalidSubscription("filters.aspects", f"the aspects are {', '.join(ASPECTS)}, {ONE_ASPECT}")
    for cause in filters.causes:
        if cause not in CAUSES:
            raise InvalidSubscription("filters.causes", f"the causes are {', '.join(CAUSES)}")
    return filters


def _is_value(given: Any) -> bool:
    return isinstance(given, str) and 0 < len(given) <= _VALUE_CHARACTERS_MAX and _is_storable(given)


def _is_storable(text: str) -> bool:
    """NUL and halves of surrogate pairs are no text to PostgreSQL."""
    return "\0" not in text and not any("\ud800" <= one <= "\udfff" for one in text)


def _refuse_unknown(document: Any, known: Iterable[str], place: str) -> None:
    if not isinstance(document, dict):
        raise InvalidSubscription(place or "the subscription", "it is an object")
    for name in document:
        if name not in known:
            field = f"{place}.{name}" if place else str(name)
            raise InvalidSubscription(field[:100], f"there is no such field; there are {', '.join(known)}")
