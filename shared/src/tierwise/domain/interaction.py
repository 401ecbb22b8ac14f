"""The interaction: one immutable fact, something a customer did or that was done with them."""

from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any
from zlib import crc32

import msgspec

from tierwise.domain.updates import Updates

CHANNELS = (
    "web", "email", "sms", "call", "meeting", "chat", "social", "ad", "order", "quote", "survey", "service", "crm",
)  # fmt: skip

IDENTIFIER_KINDS = ("user_id", "crm_id", "email", "phone", "anonymous_id")
"""Kinds of identifier, strongest first: the first one that an interaction has decides its partition."""


class Interaction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One interaction as it travels on the stream, JSON-encoded: validated and normalised.

    `id` is unique in its `source`; `time` and `received` (its arrival at ingest) are aware and in UTC; `identifiers`
    maps kind to normalised value; `attributes` are what is known of the customer from now on (None unsets), `updates`
    what it changes of that otherwise; `properties` are of this interaction alone. `links`: whether its identifiers may
    tie customers together; where not, the strongest one alone says whose it is. Not `scored`: its customer agreed to
    its being kept, not to its being counted. `same_as`: further identifiers of the same person, as (kind, value),
    where `identifiers` has one of the kind already. `batch`: the import that it came with, if any. `quiet`: changes
    that it causes are not published.
    """

    id: str
    source: str
    time: datetime
    received: datetime
    channel: str
    type: str
    identifiers: dict[str, str]
    attributes: dict[str, Any] = {}
    updates: Updates | None = None
    properties: dict[str, Any] = {}
    links: bool = True
    scored: bool = True
    same_as: tuple[tuple[str, str], ...] = ()
    batch: str | None = None
    quiet: bool = False

    @property
    def key(self) -> bytes:
        return key_of(self.source, self.id)

    @property
    def named(self) -> list[tuple[str, str]]:
        """Every identifier, as (kind, value), the strongest kind first."""
        named = [*self.identifiers.items(), *self.same_as]
        return named if len(named) == 1 else sorted(named, key=_strength)


@lru_cache(maxsize=1 << 14)  # of a batch's interactions each is asked for several times
def key_of(source: str, id: str) -> bytes:  # noqa: A002
    """The 128-bit key by which a duplicate is known: BLAKE2b of source and id, the source's length first."""
    name = source.encode()
    return blake2b(b"%d:%b%b" % (len(name), name, id.encode()), digest_size=16).digest()


def content_of(interaction: Interaction) -> int:
    """Signed 32 bits by which a repeat of a key is told from another content under the same key: CRC-32 of what was
    said, however its members were ordered. A time that is the arrival's own was not said."""
    one = interaction
    time = None if one.time == one.received else one.time
    said: tuple[object, ...] = (
        time, one.channel, one.type, one.identifiers, one.attributes, one.properties, one.scored,
    )  # fmt: skip
    if one.same_as:
        said = (*said, one.same_as)
    return crc32(_canonical(said if one.updates is None else (*said, one.updates))) - (1 << 31)


_canonical = msgspec.json.Encoder(order="deterministic").encode
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Interaction)


def encode(interaction: Interaction) -> bytes:
    return _encoder.encode(interaction)


def decode(value: bytes) -> Interaction:
    """Raises msgspec.MsgspecError (malformed, or not an Interaction), UnicodeDecodeError, RecursionError."""
    return _decoder.decode(value)


_RANKS = {kind: rank for rank, kind in enumerate(IDENTIFIER_KINDS)}


def _strength(named: tuple[str, str]) -> tuple[int, str]:
    return _RANKS.get(named[0], len(_RANKS)), named[0]


def strongest(identifiers: dict[str, str]) -> tuple[str, str]:
    """The (kind, value) that stands first in IDENTIFIER_KINDS; kinds of the rulebook come after those, by name."""
    for kind in IDENTIFIER_KINDS:
        if kind in identifiers:
            return kind, identifiers[kind]
    kind = min(identifiers)
    return kind, identifiers[kind]
