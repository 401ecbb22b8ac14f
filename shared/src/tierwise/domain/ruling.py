"""The ruling: an entry of the log beside interactions, by which a person says which identifiers are whose.

What follows from rulings is a function of the set of them and of the set of interactions: see `tierwise.domain.ties`.
"""

from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec

from tierwise.domain.interaction import key_of
from tierwise.domain.source import BY_HAND

Kind = Literal["split", "block", "unblock", "erase"]
SPLIT: Final = "split"
BLOCK: Final = "block"
UNBLOCK: Final = "unblock"
ERASE: Final = "erase"

REASON_CHARACTERS_MAX: Final = 1_000
IDENTIFIERS_MAX: Final = 10_000
"""On each side, so that a ruling fits into a record."""
_Hash = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=512, pattern="^[^\x00]*$")]
_Hashes = Annotated[tuple[_Hash, ...], msgspec.Meta(max_length=IDENTIFIERS_MAX)]


class Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An identifier as people know it, normalised."""

    kind: _Text
    value: _Text


class Ruling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One decision. Identifiers are named by their keyed hashes, in hex.

    split: `identifiers` are one person's and `others` another's: no interaction ties one of these with one of those,
    but for a merge by hand at a later time. block: `identifiers` tie nothing any more, until a later unblock. erase:
    what happened or arrived up to `time` and names one of `identifiers` is gone, and never comes back.

    `id`: unique among what people write back. `author`: the name of their key. `time`: aware, when it was said.
    `named`: of block and unblock. `customer_id`: whom it was said of, as their public id was then.
    """

    ruling: Kind
    id: _Text
    author: _Text
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    identifiers: Annotated[_Hashes, msgspec.Meta(min_length=1)]
    others: _Hashes = ()
    named: Named | None = None
    reason: Annotated[str, msgspec.Meta(max_length=REASON_CHARACTERS_MAX, pattern="^[^\x00]*$")] | None = None
    customer_id: str | None = None

    @property
    def key(self) -> bytes:
        """By which a repeat is known."""
        return key_of(BY_HAND, self.id)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Ruling)


def encode(ruling: Ruling) -> bytes:
    return _encoder.encode(ruling)


def ruling_of(value: bytes) -> Ruling | None:
    """None where the record is none."""
    try:
        return _decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
