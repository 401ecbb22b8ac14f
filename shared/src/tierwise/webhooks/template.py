"""Requests in another system's own form, with placeholders for what changed and how the customer stands.

    {"method": "PUT", "headers": {"Authorization": "Bearer ..."},
     "body": {"Tier": "{{ change.to }}", "Score": "{{ customer.tier.score }}", "Note": "Was {{ change.from }}"}}

A body is JSON whose texts hold placeholders: a text that is nothing but one becomes the value itself, so nothing has to
be escaped, and nothing that a customer is called can break out of its place.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote, urlsplit

import msgspec

METHODS: Final = ("POST", "PUT", "PATCH")
HIDDEN: Final = "***"
"""In the place of a header's value where a template is shown; given back, it stands for the value there was."""

HEADERS_MAX: Final = 20
BODY_BYTES_MAX: Final = 20_000
DEPTH_MAX: Final = 20
_HEADER_VALUE_MAX: Final = 4_000
_OURS: Final = frozenset({"host", "connection", "content-length", "transfer-encoding", "te", "upgrade"})

KNOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "event": ("id", "type", "timestamp"),
    "change": (
        "customer_id",
        "sequence",
        "aspect",
        "from",
        "to",
        "at",
        "score",
        "rulebook",
        "cuts",
        "cause",
        "reasons",
    ),
    "customer": (
        *("customer_id", "identifiers", "attributes", "intent", "lifecycle", "tier", "tags", "interests"),
        *("acquisition", "preferred_channel", "owner", "strategy", "orders", "first_seen", "last_seen"),
        *("interactions", "classified_at", "rulebook", "cuts", "version"),
    ),
}
"""What placeholders begin with. `customer` is the current view as the profile API has it, but `identifiers` by kind and
`tags` by name."""

_PERSONAL: Final = ("identifiers", "attributes")

_PLACEHOLDER: Final = re.compile(r"\{\{([^{}]*)\}\}")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")

Values = Mapping[str, Any]


class Template(msgspec.Struct, frozen=True):
    """`headers`: by name in lower case."""

    method: Literal["POST", "PUT", "PATCH"]
    headers: dict[str, str]
    body: Any


class Filled(NamedTuple):
    url: str
    body: bytes


class InvalidTemplate(Exception):  # noqa: N818
    """`field` is where, dots joining names; '' is the whole of it."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field, self.reason = field, reason


class Unaddressable(Exception):  # noqa: N818
    """A placeholder of the address has no value for this customer."""


def read_template(given: Any) -> Template:
    """Raises InvalidTemplate."""
    if not isinstance(given, dict):
        raise InvalidTemplate("", "it is an object")
    if unknown := sorted(given.keys() - {"method", "headers", "body"}):
        raise InvalidTemplate(str(unknown[0])[:100], "there is no such field; there are method, headers, body")
    if (method := given.get("method", "POST")) not in METHODS:
        raise InvalidTemplate("method", f"it is one of {', '.join(METHODS)}")
    if "body" not in given:
        raise InvalidTemplate("body", "it is required: JSON, with placeholders like {{ change.to }} in its texts")
    body = given["body"]
    try:
        size = len(msgspec.json.encode(body))
    except UnicodeEncodeError as error:
        raise InvalidTemplate("body", "it holds half of a surrogate pair, which is no text") from error
    if size > BODY_BYTES_MAX:
        raise InvalidTemplate("body", f"it has at most {BODY_BYTES_MAX:,} bytes")
    for place, text in _texts(body, "body"):
        check_placeholders(text, place)
    return Template(method, _headers(given.get("headers", {})), body)


def template_document(template: Template) -> dict[str, Any]:
    """As it is shown: headers hold secrets."""
    return {"method": template.method, "headers": dict.fromkeys(template.headers, HIDDEN), "body": template.body}


def check_placeholders(text: str, field: str) -> list[tuple[str, ...]]:
    """Those of a text. Raises InvalidTemplate."""
    if _PLACEHOLDER.sub("", text).count("{{"):
        raise InvalidTemplate(field, "a placeholder is written {{ change.to }}")
    return [_path(found[1], field) for found in _PLACEHOLDER.finditer(text)]


def check_address(url: str) -> None:
    """Placeholders stand after the host, where they cannot lead elsewhere. Raises InvalidTemplate."""
    paths = check_placeholders(url, "url")
    if paths and "{" in url.split("://", 1)[-1].partition("/")[0]:
        raise InvalidTemplate("url", "placeholders stand after the host and its /")


def plain_address(url: str) -> str:
    """With something in the place of placeholders, to be looked at as an address."""
    return _PLACEHOLDER.sub("x", url)


def names_personal_data(url: str, template: Template) -> bool:
    """Whether identifiers or attributes leave with it."""
    texts = [url, *(text for _, text in _texts(template.body, "body"))]
    paths = [path for text in texts for path in check_placeholders(text, "")]
    return any(path[0] == "customer" and path[1] in _PERSONAL for path in paths)


def filled(url: str, template: Template, values: Values, *, test: bool = False) -> Filled:
    """`values`: of `event`, `change` and `customer`; what is missing is null in the body. `test`: what is missing in
    the address is `test`. Raises Unaddressable."""
    return Filled(_address(url, values, test=test), msgspec.json.encode(_body(template.body, values)))


def _headers(given: Any) -> dict[str, str]:
    if not isinstance(given, dict) or len(given) > HEADERS_MAX:
        raise InvalidTemplate("headers", f"it is an object of at most {HEADERS_MAX} names and their values")
    for name, value in given.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OURS or name.lower().startswith("webhook-"):
            raise InvalidTemplate(f"headers.{name[:100]}", "no header of this name can be set")
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise InvalidTemplate(f"headers.{name}", "a value is ASCII text without line breaks")
        if not 0 < len(value) <= _HEADER_VALUE_MAX:
            raise InvalidTemplate(f"headers.{name}", f"a value has 1 to {_HEADER_VALUE_MAX:,} characters")
    return {name.lower(): value for name, value in given.items()}


def _path(text: str, field: str) -> tuple[str, ...]:
    path = tuple(text.strip().split("."))
    known = KNOWN.get(path[0])
    if known is None:
        raise InvalidTemplate(field, f"a placeholder begins with one of {', '.join(KNOWN)}")
    if len(path) < 2 or path[1] not in known:
        raise InvalidTemplate(field, f"after {path[0]}. comes one of {', '.join(known)}")
    return path


def _texts(node: Any, place: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """(where, text). Raises InvalidTemplate."""
    if depth > DEPTH_MAX:
        raise InvalidTemplate("body", f"it is nested at most {DEPTH_MAX} deep")
    if isinstance(node, str):
        yield place, node
    elif isinstance(node, dict | list):
        for name, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _texts(value, f"{place}.{str(name)[:100]}", depth + 1)


def _address(url: str, values: Values, *, test: bool) -> str:
    def value_of(found: re.Match[str]) -> str:
        value = _value(found, values)
        if value is None and test:
            return "test"
        text = _text(value)
        if text in ("", ".", ".."):  # a path of these is another one
            raise Unaddressable(f"the customer has no {found[1].strip()}, which stands in the address")
        return quote(text, safe="")

    return _PLACEHOLDER.sub(value_of, url)


def _body(node: Any, values: Values) -> Any:
    if isinstance(node, dict):
        return {name: _body(value, values) for name, value in node.items()}
    if isinstance(node, list):
        return [_body(value, values) for value in node]
    if not isinstance(node, str):
        return node
    if (whole := _PLACEHOLDER.fullmatch(node.strip())) is not None:
        return _value(whole, values)
    return _PLACEHOLDER.sub(lambda found: _text(_value(found, values)), node)


def _value(found: re.Match[str], values: Values) -> Any:
    node: Any = values
    names = found[1].strip().split(".")
    for place, name in enumerate(names):
        if not isinstance(node, Mapping):
            return None
        rest = ".".join(names[place:])
        if rest in node:  # names of attributes may have dots
            return node[rest]
        node = node.get(name)
    return node


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def host_of(url: str) -> str:
    return urlsplit(plain_address(url)).netloc
