"""Short-lived tokens for browsers: each lets its holder read one customer, for minutes.

A token is `tw_t_` and what it says, sealed with the vault: nobody can make or alter one, and nothing of it is stored.
It names the key that it was made with, and dies with it.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from tierwise.problem import Unauthorized
from tierwise.security.keys import Reader
from tierwise.security.personal import Vault

PREFIX: Final = "tw_t_"
EXPIRES_S: Final = 900
EXPIRES_S_MAX: Final = 3_600
SCOPES: Final = ("profiles:read", "timeline:read", "pii:read")
"""What a token can hold at most, and its key has to hold too."""

_CONTEXT: Final = b"browser token"
_LENGTH_MAX: Final = 400


class Token(NamedTuple):
    """`key`: the id of the read key that it was made with; `expires_s`: seconds since 1970."""

    customer: int
    scopes: tuple[str, ...]
    key: str
    expires_s: int


def seal_token(
    reader: Reader, *, customer: int, scopes: tuple[str, ...], now: datetime, expires_in_s: int, vault: Vault
) -> tuple[str, datetime]:
    """The token and when it ends."""
    ends = (now + timedelta(seconds=expires_in_s)).replace(microsecond=0)
    said = Token(customer, scopes, reader.id, int(ends.timestamp()))
    sealed = vault.seal(msgspec.msgpack.encode(said), context=_CONTEXT)
    return PREFIX + urlsafe_b64encode(sealed).rstrip(b"=").decode(), ends


def open_token(text: str, vault: Vault, now: datetime) -> Token:
    """Raises Unauthorized."""
    if len(text) > _LENGTH_MAX or not text.isascii():
        raise Unauthorized("This is no token.")
    encoded = text.removeprefix(PREFIX).encode()
    try:
        sealed = urlsafe_b64decode(encoded + b"=" * (-len(encoded) % 4))
        token = msgspec.msgpack.decode(vault.open(sealed, context=_CONTEXT), type=Token)
    except (NotBase64, ValueError, msgspec.MsgspecError) as error:
        raise Unauthorized("This token was altered, or is none of this deployment's.") from error
    if now.timestamp() >= token.expires_s:
        raise Unauthorized("This token has ended: get a new one from whoever gave it.")
    return token
