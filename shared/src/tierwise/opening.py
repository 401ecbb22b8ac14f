"""Opening what may be away: a service comes up without its database or broker, says so, and recovers by itself."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

import structlog

from tierwise.db.engine import DATABASE_ERRORS
from tierwise.problem import Unavailable
from tierwise.stream.port import StreamUnavailable
from tierwise.waiting import happens_within

AWAY: Final = (*DATABASE_ERRORS, StreamUnavailable, Unavailable)
"""What repeating may mend: among these a table that `tierwise migrate` has not made yet. Anything else (a wrong
secret key, say) stops the service."""

FIRST_WAIT_S: Final = 5.0
PAUSE_S: Final = 1.0

log = structlog.get_logger("tierwise.opening")
T = TypeVar("T")


class Opening(Generic[T]):
    """Holds open what `open` gives, trying until it does; used as an async context manager.

    Entering waits a moment for the first try, and raises what repeating would not mend.
    """

    def __init__(self, open: Callable[[], AbstractAsyncContextManager[T]]) -> None:  # noqa: A002
        self._open = open
        self._value: T | None = None
        self._reason = "It is being opened."
        self._tried = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def value(self) -> T:
        """Raises Unavailable while it is not open."""
        if self._value is None:
            raise Unavailable("The service is not ready: a component that it needs is away.")
        return self._value

    @property
    def reason(self) -> str | None:
        """Why it is not open, for readiness; None when it is."""
        return self._reason if self._value is None else None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep(), name="opening")
        tried = asyncio.create_task(self._tried.wait())
        await asyncio.wait({self._task, tried}, timeout=FIRST_WAIT_S, return_when=asyncio.FIRST_COMPLETED)
        tried.cancel()
        if self._task.done():
            self._task.result()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        if self._task is not None:
            await self._task

    async def _keep(self) -> None:
        while not self._closing.is_set():
            try:
                async with self._open() as self._value:
                    self._tried.set()
                    await self._closing.wait()
            except AWAY as error:
                self._reason = error.detail if isinstance(error, Unavailable) else _first_line(error)
                log.warning("not_open_yet", reason=self._reason)
            except Exception as error:
                self._reason = _first_line(error)
                log.exception("cannot_be_opened")
                raise
            finally:
                self._value = None
                self._tried.set()
            await happens_within(self._closing, PAUSE_S)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0]
