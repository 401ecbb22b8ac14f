"""What became of a request's items."""

from collections.abc import Sequence

import msgspec


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """Why the item at `index`, from 0, was not taken."""

    index: int
    status: str = "rejected"
    code: str
    field: str | None
    detail: str


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """What was not taken of the accepted item at `index`, by the names that it was sent under."""

    index: int
    fields: Sequence[str]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Of one request. `ignored`: items that mean nothing to Tierwise and are not meant to. `kept`: whether the request
    went to the dead letters for what could not be mapped in it; it need not be sent again then.
    `unrecognisable`: indexes of accepted items with neither id nor time."""

    accepted: int = 0
    ignored: int = 0
    kept: bool = False
    rejections: Sequence[Rejection] = ()
    unrecognisable: Sequence[int] = ()
    left_out: Sequence[LeftOut] = ()
