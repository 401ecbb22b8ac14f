"""What a webhook's sender sent and no format could make interactions of: kept whole, so that it can be read again once
the format, or the source's mapping, knows it.

It travels the stream of interactions as a record that is no interaction; scoring makes a dead letter of it.
"""

import zlib
from datetime import datetime
from typing import Final

import msgspec

REASON: Final = "unmapped"
"""Of the dead letters that such records become."""


class Unmapped(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request. `headers` and `query` are without what proves who sent it; `deflated` is the body, compressed by zlib:
    a provider's batch may be larger than a record. `code`, `field` and `detail`: of the first of the items that were
    refused, at `indexes`, or of the body as a whole, and then there are none."""

    format: str
    source: str
    received: datetime
    method: str
    path: str
    query: str
    headers: dict[str, str]
    deflated: bytes
    code: str
    field: str | None
    detail: str
    indexes: tuple[int, ...]

    @property
    def body(self) -> bytes:
        return zlib.decompress(self.deflated)


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    unmapped: Unmapped


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Envelope)


def encode(unmapped: Unmapped) -> bytes:
    return _encoder.encode(_Envelope(unmapped))


def decode(value: bytes) -> Unmapped:
    """Raises msgspec.MsgspecError for a record that is something else."""
    return _decoder.decode(value).unmapped
