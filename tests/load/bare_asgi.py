"""The least that a request costs: `python -m tests.load.bare_asgi PORT` reads the body and answers 202, on the server
and with the settings of every service."""

import asyncio
import sys

import uvloop

from tierwise.asgi import Receive, Response, Scope, Send, json_response
from tierwise.serving import serve

_ANSWER = json_response(202, {"accepted": 1, "rejected": 0, "results": []})
_READY = Response(200, b"", media_type="text/plain")


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/readyz":
        await _READY(scope, receive, send)
        return
    while (await receive()).get("more_body", False):
        pass
    await _ANSWER(scope, receive, send)


async def main() -> None:
    await asyncio.shield(serve(app, host="127.0.0.1", port=int(sys.argv[1])))


if __name__ == "__main__":
    uvloop.run(main())
