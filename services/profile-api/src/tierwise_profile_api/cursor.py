"""Where a list goes on, as an opaque text: sealed, so that it can be neither read nor altered."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

import msgspec

from tierwise.problem import Problem
from tierwise.security.personal import Vault

T = TypeVar("T")


class BadCursor(Problem):
    status, code, title = 400, "bad_cursor", "The cursor is none of this list's"


def listing(name: str, *filters: object) -> bytes:
    """What a cursor belongs to: a list's name, whose it is and its filters. Not the page size, which may change."""
    return blake2b(msgspec.json.encode((name, filters)), digest_size=16, person=b"cursor").digest()


def seal_cursor(position: Sequence[object], vault: Vault, *, of: bytes) -> str:
    """`position`: of the last item answered; the next page begins after it."""
    sealed = vault.seal(msgspec.msgpack.encode(position), context=of)
    return urlsafe_b64encode(sealed).rstrip(b"=").decode()


def open_cursor(text: str, position: type[T], vault: Vault, *, of: bytes) -> T:
    """Raises BadCursor where `text` was altered, or comes from another list or other filters."""
    try:
        sealed = urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
        if urlsafe_b64encode(sealed).rstrip(b"=").decode() != text:
            raise BadCursor(_DETAIL)  # other spellings of the same bytes are no cursors of ours
        return msgspec.msgpack.decode(vault.open(sealed, context=of), type=position)
    except (NotBase64, ValueError, msgspec.MsgspecError) as error:
        raise BadCursor(_DETAIL) from error


_DETAIL = "Begin again without `cursor`, and pass `next_cursor` back as it came, with the same filters."
