"""The retraction: an entry of the log beside interactions, that takes an import's batch back.

It stands in every partition, so that wherever a row of the batch comes again it comes after the retraction.
"""

from datetime import datetime
from typing import Annotated

import msgspec

BATCH_CHARACTERS_MAX = 128


class Retraction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Of the interactions of a batch that were `received` (by the database's clock, aware) before a moment: those of
    the batch's next import count. `quiet`: changes that it causes are not published."""

    retracted_batch: Annotated[str, msgspec.Meta(min_length=1, max_length=BATCH_CHARACTERS_MAX)]
    received_before: Annotated[datetime, msgspec.Meta(tz=True)]
    quiet: bool = False


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Retraction)


def encode(retraction: Retraction) -> bytes:
    return _encoder.encode(retraction)


def retraction_of(value: bytes) -> Retraction | None:
    """None where the record is none."""
    try:
        return _decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
