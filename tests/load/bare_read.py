"""The least that a read costs: `python -m tests.load.bare_read PORT DSN` reads a customer's row by the statement of the
profile API and answers with some of its bytes, on the server and with the settings of every service."""

import asyncio
import sys

import asyncpg
import uvloop

from tierwise.asgi import Receive, Response, Scope, Send
from tierwise.domain.customer_id import internal_id
from tierwise.serving import serve
from tierwise_profile_api.backend import CONNECTIONS
from tierwise_profile_api.queries import CUSTOMER

_READY = Response(200, b"", media_type="text/plain")


async def main(port: int, dsn: str) -> None:
    idle: asyncio.LifoQueue[asyncpg.Connection] = asyncio.LifoQueue()
    for _ in range(CONNECTIONS):
        idle.put_nowait(await asyncpg.connect(dsn))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/readyz":
            await _READY(scope, receive, send)
            return
        connection = await idle.get()
        row = await connection.fetchrow(CUSTOMER, internal_id(scope["path"].rpartition("/")[2]))
        idle.put_nowait(connection)
        await Response(200, row["ledger"], media_type="application/octet-stream")(scope, receive, send)

    await asyncio.shield(serve(app, host="127.0.0.1", port=port))


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2]))
