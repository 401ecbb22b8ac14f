"""One attempt to deliver, as the log keeps it."""

from typing import Final

import msgspec

ANSWER_BYTES_MAX: Final = 1_000


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """`at`: RFC 3339; `status`: of HTTP, None where none came; `error`: why it was none; `answer`: the beginning of the
    body."""

    at: str
    ms: int
    status: int | None = None
    error: str | None = None
    answer: str | None = None
