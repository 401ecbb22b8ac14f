"""The record that a request becomes whose sender won't mend what we cannot map."""

import zlib
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlencode, urlsplit

from tierwise.domain import unmapped
from tierwise.domain.source import Source
from tierwise.domain.unmapped import Unmapped
from tierwise_ingest.body import InvalidBody
from tierwise_ingest.outcome import Rejection
from tierwise_ingest.request import Request

_SECRET_WORDS = ("authorization", "cookie", "token", "secret", "key", "signature", "password")


def record_of(
    request: Request, format_name: str, source: Source, received: datetime, rejections: Sequence[Rejection]
) -> bytes:
    """Headers and query without what proves who sent it."""
    first = rejections[0]
    headers = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers)
    return unmapped.encode(
        Unmapped(
            format=format_name,
            source=source.name,
            received=received,
            method=request.method,
            path=urlsplit(request.url).path,
            query=urlencode({name: value for name, value in request.query.items() if not _is_secret(name)}),
            headers={name: value for name, value in headers if not _is_secret(name)},
            deflated=zlib.compress(request.body),
            code=first.code,
            field=first.field,
            detail=first.detail,
            indexes=() if first.code == InvalidBody.code else tuple(one.index for one in rejections),
        )
    )


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET_WORDS)
