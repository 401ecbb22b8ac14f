"""The column `interactions.body`: attributes, properties and updates as msgpack, personal values sealed."""

from typing import Any, NamedTuple

import msgspec

from tierwise.domain.updates import Updates
from tierwise.security.personal import Vault
from tierwise.security.values import open_values, seal_values

_BIG_INTEGER = 1  # msgpack's own end at 64 bits


class Body(NamedTuple):
    """As JSON gives them."""

    attributes: dict[str, Any]
    properties: dict[str, Any]
    updates: dict[str, Any] | None = None
    scored: bool = True


def pack_body(
    attributes: dict[str, Any],
    properties: dict[str, Any],
    vault: Vault,
    *,
    updates: Updates | None = None,
    scored: bool = True,
) -> bytes:
    """`attributes` and `properties` as JSON gives them. Not `scored`: it is kept and never counted."""
    body: tuple[object, ...] = (seal_values(attributes, vault), seal_values(properties, vault))
    if updates is not None or not scored:
        body = (*body, None if updates is None else seal_values(msgspec.to_builtins(updates), vault))
    if not scored:
        body = (*body, False)
    try:
        return _encoder.encode(body)
    except OverflowError:
        return _encoder.encode(_extended(body))


def unpack_body(body: bytes, vault: Vault, *, masked: bool) -> Body:
    """Raises NotSealedHere, msgspec.DecodeError."""
    attributes, properties, *more = _decoder.decode(body)
    return Body(
        open_values(attributes, vault, masked=masked),
        open_values(properties, vault, masked=masked),
        open_values(more[0], vault, masked=masked) if more and more[0] is not None else None,
        scored=len(more) < 2,
    )


def _extended(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _extended(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_extended(item) for item in value]
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return msgspec.msgpack.Ext(_BIG_INTEGER, b"%x" % value)
    return value


def _restored(code: int, data: memoryview) -> int:
    if code != _BIG_INTEGER:
        raise ValueError(f"no body has extension {code}")
    return int(data.tobytes(), 16)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Any], ext_hook=_restored)
