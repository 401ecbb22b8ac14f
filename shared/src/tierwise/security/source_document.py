"""A source as its administrator writes it, in JSON: read and checked, with the same words for the command and the API.

    {"name": "shop-page", "trust": "browser", "intake": {"origins": ["https://shop.example"]}}

`trust` is `backend`, `browser` or an object with the fields of Trust; `intake` has those of Intake.
"""

import re
from collections.abc import Collection, Iterable
from math import isfinite
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

import msgspec
from phonenumbers import SUPPORTED_REGIONS

from tierwise.domain.attributes import RESERVED
from tierwise.domain.interaction import CHANNELS, IDENTIFIER_KINDS
from tierwise.domain.property_schema import InvalidSchema, PropertySchema
from tierwise.domain.source import BACKEND, BROWSER, BY_HAND, Intake, RateLimit, Trust, TypeSchema
from tierwise.files.mapping import MappingError, parse_mapping
from tierwise.problem import Problem

PRESETS: Final = {"backend": BACKEND, "browser": BROWSER}
NAME_CHARACTERS_MAX: Final = 100
MAPPING_CHARACTERS_MAX: Final = 65_536
_LISTED_MAX: Final = 200
_PER_SECOND_MAX: Final = 1e9

_FORMAT = re.compile(r"[a-z][a-z0-9_-]{0,63}", re.ASCII)
_TYPE = re.compile(r"[a-z][a-z0-9_.-]{0,63}", re.ASCII)
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]+\]", re.ASCII)
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}", re.ASCII)

S = TypeVar("S", bound=msgspec.Struct)


class InvalidSource(Problem):
    """`field` is where, dots joining names."""

    status, code, title = 400, "invalid_source", "A source cannot be like this"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)


class Described(NamedTuple):
    """A source that may be made."""

    name: str
    trust: Trust
    intake: Intake


def read_source(document: Any) -> Described:
    """Raises InvalidSource."""
    _refuse_unknown(document, ("name", "trust", "intake"), "")
    if "name" not in document:
        raise InvalidSource("name", "it is required")
    return Described(check_name(document["name"]), *_read(document.get("trust", "backend"), document.get("intake", {})))


def patch_source(trust: Trust, intake: Intake, patch: Any) -> tuple[Trust, Intake]:
    """A JSON merge patch (RFC 7396): what it names is replaced, null is the default again. Raises InvalidSource."""
    _refuse_unknown(patch, ("trust", "intake"), "")
    if isinstance(given := patch.get("trust", {}), dict):
        given = _merged(document_of(trust), given)
    return _read(given, _merged(document_of(intake), patch.get("intake", {})))


def document_of(part: Trust | Intake) -> dict[str, Any]:
    """As plain JSON, sets in order."""
    plain: dict[str, Any] = msgspec.to_builtins(part, order="sorted")
    return plain


def check_name(name: Any) -> str:
    """It stands in the paths of webhooks. Raises InvalidSource."""
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARACTERS_MAX:
        raise InvalidSource("name", f"it has 1 to {NAME_CHARACTERS_MAX} characters")
    if not name.isprintable() or name != name.strip() or set(name) & set("/?#%"):
        raise InvalidSource("name", "it stands in paths: no /, ?, #, %, no control characters, no space at its ends")
    refuse_reserved(name)
    return name


def refuse_reserved(name: str) -> None:
    """What a system sent under this name would be taken for a person's word. Raises InvalidSource."""
    if name == BY_HAND:
        raise InvalidSource("name", f"{name} stands for what people write back through the API: take another one")


def _merged(old: Any, patch: Any) -> Any:
    if not isinstance(patch, dict) or not isinstance(old, dict):
        return patch
    result = {name: value for name, value in old.items() if name not in patch}
    return result | {name: _merged(old.get(name), value) for name, value in patch.items() if value is not None}


def _read(trust_document: Any, intake_document: Any) -> tuple[Trust, Intake]:
    trust = _read_trust(trust_document)
    intake = _checked_intake(converted(intake_document, Intake, "intake"))
    if intake.origins and trust.links:
        raise InvalidSource(
            "trust.links", "a key in a page is anyone's: with intake.origins, links are false (browser)"
        )
    return trust, intake


def _read_trust(document: Any) -> Trust:
    if isinstance(document, str):
        if document not in PRESETS:
            raise InvalidSource("trust", f"it is {' or '.join(PRESETS)}, or an object")
        return PRESETS[document]
    trust = converted(document, Trust, "trust")
    _check_members("trust.channels", trust.channels, CHANNELS, "channel")
    _check_members("trust.kinds", trust.kinds, IDENTIFIER_KINDS, "kind of identifier")
    for name in sorted(trust.attributes or ()):
        if not 0 < len(name) <= 64 or not name.isprintable() or name.startswith(RESERVED):
            raise InvalidSource("trust.attributes", f"{name[:64]!r} is no attribute that a source may assert")
    if trust.default_region is not None and trust.default_region not in SUPPORTED_REGIONS:
        raise InvalidSource("trust.default_region", "it is an ISO 3166 code of two capital letters, as CN")
    return trust


def _checked_intake(intake: Intake) -> Intake:
    _check_each("intake.formats", intake.formats or (), _FORMAT.fullmatch, "is no format's name, as segment")
    for field in ("origins", "redirects"):
        reason = "is no origin as browsers name it: https://shop.example, with a port unless it is the usual one"
        _check_each(f"intake.{field}", getattr(intake, field), _is_origin, reason)
    _check_each("intake.topics", intake.topics, _TOPIC.fullmatch, "is no ARN of an SNS topic, arn:aws:sns:...")
    if intake.rate_limit is not None and not (
        isfinite(intake.rate_limit.per_second) and intake.rate_limit.per_second <= _PER_SECOND_MAX
    ):
        raise InvalidSource("intake.rate_limit.per_second", f"it is at most {_PER_SECOND_MAX:,.0f}")
    _check_schemas(intake.schemas)
    if intake.mapping is not None:
        _check_mapping(intake.mapping)
    return intake


def _check_schemas(schemas: tuple[TypeSchema, ...]) -> None:
    seen = set()
    if len(schemas) > _LISTED_MAX:
        raise InvalidSource("intake.schemas", f"there are at most {_LISTED_MAX}")
    if not _is_storable(schemas):
        raise InvalidSource("intake.schemas", "NUL and halves of surrogate pairs are no text")
    for index, schema in enumerate(schemas):
        place = f"intake.schemas[{index}]"
        _check_members(f"{place}.channel", (schema.channel,), CHANNELS, "channel")
        if not _TYPE.fullmatch(schema.type):
            raise InvalidSource(f"{place}.type", "1 to 64 of a-z, 0-9, '_', '.' and '-', a letter first")
        if (schema.channel, schema.type) in seen:
            raise InvalidSource(place, f"{schema.channel} {schema.type} has a schema already")
        seen.add((schema.channel, schema.type))
        try:
            PropertySchema(schema.properties)
        except InvalidSchema as error:
            raise InvalidSource(f"{place}.properties", f"it is no JSON Schema: {error}") from error


def _is_storable(document: object) -> bool:
    try:
        return b"\\u0000" not in msgspec.json.encode(document)
    except UnicodeEncodeError:
        return False


def _check_mapping(mapping: str) -> None:
    if len(mapping) > MAPPING_CHARACTERS_MAX:
        raise InvalidSource("intake.mapping", f"it has at most {MAPPING_CHARACTERS_MAX:,} characters")
    try:
        parse_mapping(mapping, name="it")
    except MappingError as error:
        raise InvalidSource("intake.mapping", str(error)) from error


def _check_members(field: str, given: Collection[str] | None, known: Collection[str], what: str) -> None:
    for value in sorted(given or ()):
        if value not in known:
            raise InvalidSource(field, f"{value[:64]!r} is no {what}: there are {', '.join(known)}")


def _check_each(field: str, given: Collection[str], holds: Any, reason: str) -> None:
    if len(given) > _LISTED_MAX:
        raise InvalidSource(field, f"there are at most {_LISTED_MAX}")
    for value in sorted(given):
        if not holds(value):
            raise InvalidSource(field, f"{value[:100]!r} {reason}")


def _is_origin(text: str) -> bool:
    """In the form that browsers send it in (the Fetch standard's serialisation): anything else never matches."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    if (
        parts.scheme not in ("http", "https")
        or parts.hostname is None
        or port == {"http": 80, "https": 443}[parts.scheme]
    ):
        return False
    host = parts.netloc.removesuffix(f":{port}")
    return _HOST.fullmatch(host) is not None and text == f"{parts.scheme}://{parts.netloc}"


def converted(document: Any, kind: type[S], place: str = "") -> S:
    """Raises InvalidSource, for a field that `kind` has not too: one misspelt would silently be the default."""
    _refuse_unknown(document, kind.__struct_fields__, place)
    for inner, name in ((RateLimit, "rate_limit"), (TypeSchema, "schemas")):
        found = document.get(name)
        for index, one in enumerate(found if isinstance(found, list) else []):
            _refuse_unknown(one, inner.__struct_fields__, f"{place}.{name}[{index}]")
        if isinstance(found, dict):
            _refuse_unknown(found, inner.__struct_fields__, f"{place}.{name}")
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        reason, _, at = str(error).partition(" - at `$")
        if reason.startswith("Object missing required field"):
            at, reason = f"{at.rstrip('`')}.{reason.split('`')[1]}", "it is required"
        raise InvalidSource((place + at.rstrip("`")).lstrip("."), reason) from error


def _refuse_unknown(document: Any, known: Iterable[str], place: str) -> None:
    if not isinstance(document, dict):
        raise InvalidSource(place or "the source", "it is an object")
    for name in document:
        if name not in known:
            field = f"{place}.{name}" if place else str(name)
            raise InvalidSource(field[:100], f"there is no such field; there are {', '.join(known)}")
