"""The column `interactions.body`: attributes and properties as msgpack, personal values sealed."""

from typing import Any

import msgspec

from tierwise.security.personal import Vault
from tierwise.security.values import open_values, seal_values

_BIG_INTEGER = 1  # msgpack's own end at 64 bits


def pack_body(attributes: dict[str, Any], properties: dict[str, Any], vault: Vault) -> bytes:
    """`attributes` and `properties` as JSON gives them."""
    body = (seal_values(attributes, vault), seal_values(properties, vault))
    try:
        return _encoder.encode(body)
    except OverflowError:
        return _encoder.encode(_extended(body))


def unpack_body(body: bytes, vault: Vault, *, masked: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Attributes and properties. Raises NotSealedHere, msgspec.DecodeError."""
    attributes, properties = _decoder.decode(body)
    return open_values(attributes, vault, masked=masked), open_values(properties, vault, masked=masked)


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
_decoder = msgspec.msgpack.Decoder(tuple[dict[str, Any], dict[str, Any]], ext_hook=_restored)
