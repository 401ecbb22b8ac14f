"""What a webhook's sender sent and no format could make interactions of: kept whole, so that it can be read again once
the format, or the source's mapping, knows it.

It travels the stream of interactions as a record that is no interaction; scoring makes a dead letter of it.
"""

from datetime import datetime

import msgspec


class Unmapped(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request. `headers` and `query` are without what proves who sent it; `body` is inflated. `code`, `field` and
    `detail`: of the first of the `rejected` items, or of the body as a whole."""

    format: str
    source: str
    received: datetime
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    code: str
    field: str | None
    detail: str
    rejected: int


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    unmapped: Unmapped


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Envelope)


def encode(unmapped: Unmapped) -> bytes:
    return _encoder.encode(_Envelope(unmapped))


def decode(value: bytes) -> Unmapped:
    """Raises msgspec.MsgspecError for a record that is something else."""
    return _decoder.decode(value).unmapped
