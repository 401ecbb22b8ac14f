"""Bodies of requests: JSON of a known form, refused in a way that names the field."""

from typing import Final, TypeVar

import msgspec
from fastapi import Request

from tierwise.problem import Problem

BODY_BYTES_MAX: Final = 1_000_000

T = TypeVar("T")


class InvalidBody(Problem):
    status, code, title = 400, "invalid_body", "The body cannot be read"


class BodyTooLarge(Problem):
    status, code, title = 413, "too_large", "The body is larger than this server takes"


async def read_body(request: Request, form: type[T], *, bytes_max: int = BODY_BYTES_MAX) -> T:
    """Raises InvalidBody with `field` where one is wrong, BodyTooLarge."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise BodyTooLarge(f"At most {bytes_max:,} bytes.")
    try:
        return msgspec.json.decode(body, type=form)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$")
        raise InvalidBody(f"{what}.", field=place.strip("`.") or None) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidBody("Send one JSON document.") from error
