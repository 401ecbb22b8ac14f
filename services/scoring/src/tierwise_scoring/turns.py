"""Turns: two batches of a worker overlap, so that Python works on the next one while the database writes this one.

A batch looks up, locks and folds while the one before it is written; it begins when the customers of that one are
locked, and writes nothing before it is stored. So of the two only the later one ever waits for what the other holds.
Where the earlier one has to try again, the later one lets go of all that it holds, and tries again after it.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self


class TurnLost(Exception):  # noqa: N818
    """The batch before this one is not stored yet, and may need what this one has locked."""


class Turn:
    """Of one batch. `before`: of the one that was read before it, where that may still be under way."""

    def __init__(self, before: Self | None = None) -> None:
        self._before = before
        self._locked = asyncio.Event()
        self._tried = asyncio.Event()
        self._ended = asyncio.Event()

    async def begin(self) -> None:
        """Wait until the batch before holds its customers, or does not need them any more."""
        if self._before is not None:
            await self._before._locked.wait()

    def locked(self) -> None:
        """This batch waits for nobody's locks from now on."""
        self._locked.set()

    async def come(self) -> None:
        """Wait until this batch may write. Raises TurnLost."""
        if self._before is not None:
            await self._before._tried.wait()
            if not self._before._ended.is_set():
                raise TurnLost("the batch before is tried again")

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Whatever it fails by, whoever comes after has to wait until this turn has ended."""
        succeeded = False
        try:
            yield
            succeeded = True
        finally:
            if not succeeded:
                self._failed()

    def _failed(self) -> None:
        self._locked.set()
        self._tried.set()

    def end(self) -> None:
        """The batch is stored, or given up."""
        self._failed()
        self._ended.set()
        self._before = None

    async def alone(self) -> None:
        """Wait until the batch before has ended."""
        if self._before is not None:
            await self._before._ended.wait()
