"""Whom a message is about, by any of the three ways in which SDKs have said it over the years.

Source: Sensors Analytics, technical guide, 标识用户 (Identifying users): the global one (IDM 3.0: `identities`), the
simple one (IDM 1.0 and 2.0: `distinct_id`, `login_id`, `anonymous_id`, `original_id`, `$is_login_id`).
"""

from typing import Final, NamedTuple

from tierwise_ingest.formats.sensors.message import Message

_KINDS: Final = {
    "$identity_login_id": "user_id",
    "$identity_email": "email",
    "$identity_mobile": "phone",
    "$identity_anonymous_id": "anonymous_id",
    "$identity_cookie_id": "anonymous_id",
    "$identity_distinct_id": "anonymous_id",
    "$identity_android_uuid": "anonymous_id",
    "$identity_android_id": "anonymous_id",
    "$identity_ios_uuid": "anonymous_id",
    "$identity_idfv": "anonymous_id",
    "$identity_harmony_uuid": "anonymous_id",
    "$identity_mp_id": "anonymous_id",
}
"""Of several that are one kind the first in this order is taken."""


class Told(NamedTuple):
    """`identifiers`: kind to value, as sent. `fields`: kind to where it stood. `unknown`: keys of identities that mean
    nothing here."""

    identifiers: dict[str, str]
    fields: dict[str, str]
    unknown: list[str]


def identifiers_of(message: Message, kinds: frozenset[str]) -> Told:
    """`kinds`: that there are; an identity may have one's own name where the rulebook declares such a kind."""
    told = Told({}, {}, [])
    identities = message.identities or {}
    for key, kind in _KINDS.items():
        if key in identities:
            _take(told, kind, identities[key], f"identities.{key}")
    for key, value in identities.items():
        if key in _KINDS:
            continue
        if key in kinds:
            _take(told, key, value, f"identities.{key}")
        elif message.login_id == f"{key}+{value}":  # a login under a key of one's own
            _take(told, "user_id", value, f"identities.{key}")
        else:
            told.unknown.append(f"identities.{key[:64]}")
    _take(told, "user_id", message.login_id, "login_id")
    if message.type == "track_signup":
        _take(told, "user_id", message.distinct_id, "distinct_id")
        _take(told, "anonymous_id", message.original_id, "original_id")
    _take(told, "anonymous_id", message.anonymous_id, "anonymous_id")
    _take_distinct(told, message)
    return told


def _take_distinct(told: Told, message: Message) -> None:
    """What is made of an identity, `KEY+VALUE`, or is one, tells nothing new."""
    distinct, identities = message.distinct_id, message.identities or {}
    made = {f"{key}+{value}" for key, value in identities.items()} | set(map(str, identities.values()))
    if distinct is None or str(distinct) in made or str(distinct) in told.identifiers.values():
        return
    login = (message.properties or {}).get("$is_login_id") is True
    _take(told, "user_id" if login else "anonymous_id", distinct, "distinct_id")


def _take(told: Told, kind: str, value: object, field: str) -> None:
    if kind in told.identifiers or isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        return
    told.identifiers[kind] = str(value)
    told.fields[kind] = field
