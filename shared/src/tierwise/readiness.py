"""Readiness checks of what services need; see `tierwise.asgi.Check`."""

from collections.abc import Awaitable, Callable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.asgi import Check
from tierwise.db import migrate
from tierwise.opening import AWAY
from tierwise.problem import Unavailable
from tierwise.stream.port import Stream


def database_check(engine: Callable[[], AsyncEngine]) -> Check:
    """`engine` is called each time; raises Unavailable while there is none."""

    async def check() -> None:
        async with engine().connect() as connection:
            await connection.execute(text("SELECT 1"))

    return _telling(check)


def migrations_check(engine: Callable[[], AsyncEngine]) -> Check:
    async def check() -> None:
        await migrate.check(engine())

    return _telling(check)


def stream_check(stream: Callable[[], Stream]) -> Check:
    async def check() -> None:
        await stream().check()

    return _telling(check)


def _telling(attempt: Callable[[], Awaitable[None]]) -> Check:
    async def check() -> str | None:
        try:
            await attempt()
        except Unavailable as error:
            return error.detail
        except AWAY as error:
            return (str(error) or type(error).__name__).partition("\n")[0]
        return None

    return check
