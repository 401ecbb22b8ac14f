"""GET /tierwise.js: the script that a page includes to say what its visitors do."""

from hashlib import blake2b
from importlib.resources import files
from typing import Any, Final

from tierwise.asgi import App, Receive, Response, Scope, Send, header

PATH: Final = "/tierwise.js"

DOCUMENT: Final[dict[str, Any]] = {
    "summary": "The script for web pages",
    "operationId": "read_snippet",
    "tags": ["pages"],
    "responses": {
        "200": {
            "description": "JavaScript, under 2 KB.",
            "content": {"text/javascript": {"schema": {"type": "string"}}},
        },
        "304": {"description": "As it was under the ETag given."},
    },
}

_MAX_AGE_S: Final = 3600


def script() -> bytes:
    """As it is served: without indentation and comments, which a page need not load."""
    lines = files("tierwise_ingest").joinpath("tierwise.js").read_text("utf-8").splitlines()
    stripped = (line.strip() for line in lines)
    return "\n".join(line for line in stripped if not line.startswith("//")).encode()


def snippet_route() -> App:
    body = script()
    tag = f'"{blake2b(body, digest_size=8).hexdigest()}"'
    caching = {"Cache-Control": f"public, max-age={_MAX_AGE_S}", "ETag": tag, "Access-Control-Allow-Origin": "*"}
    whole = Response(200, body, media_type="text/javascript; charset=utf-8", headers=caching)
    unchanged = Response(304, b"", media_type="text/javascript; charset=utf-8", headers=caching)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        known = header(scope["headers"], b"if-none-match") == tag.encode()
        await (unchanged if known else whole)(scope, receive, send)

    return app
