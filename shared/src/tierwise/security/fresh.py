"""A memory of what the database answered: fresh for seconds, good for minutes while the database is away."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from tierwise.db.engine import DATABASE_ERRORS, is_transient
from tierwise.problem import Unavailable

FRESH_S: Final = 10.0
STALE_S: Final = 600.0
_PATIENCE_S: Final = 1.0
"""How long a request that has an older answer waits for a newer one, and how soon it is asked for again."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(slots=True)
class _Known(Generic[Value]):
    """Seconds are of the memory's clock."""

    value: Value
    loaded_s: float
    fresh_until_s: float


class Fresh(Generic[Key, Value]):
    """Asks `load` again for what is older than `fresh_s`; while the database is away, answers not older than `stale_s`
    go on. None, for what does not exist, is not remembered. `what` stands in the message of Unavailable: "Keys".
    Safe for concurrent use by the tasks of one event loop, of which one alone asks."""

    def __init__(
        self,
        load: Callable[[Key], Awaitable[Value | None]],
        *,
        what: str,
        fresh_s: float = FRESH_S,
        stale_s: float = STALE_S,
        size_max: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load, self._what, self._clock = load, what, clock
        self._fresh_s, self._stale_s, self._size_max = fresh_s, stale_s, size_max
        self._known: OrderedDict[Key, _Known[Value]] = OrderedDict()
        self._loading: dict[Key, asyncio.Task[Value | None]] = {}

    async def get(self, key: Key) -> Value | None:
        """Raises Unavailable."""
        known = self._known.get(key)
        if known is not None and known.fresh_until_s > self._clock():
            return known.value
        try:
            # With an answer in hand nobody waits long for a database that is slow.
            # Not wait_for, which on Python 3.11 may lose a cancellation.
            async with asyncio.timeout(None if known is None else _PATIENCE_S):
                value = await self._loaded(key)
        except DATABASE_ERRORS as error:
            if not is_transient(error):
                raise
            now = self._clock()
            if known is None or now - known.loaded_s > self._stale_s:
                raise Unavailable(f"{self._what} cannot be checked: the database is away.") from error
            known.fresh_until_s = now + _PATIENCE_S
            return known.value
        return self._keep(key, value)

    async def _loaded(self, key: Key) -> Value | None:
        loading = self._loading.get(key)
        if loading is None:
            loading = self._loading[key] = asyncio.ensure_future(self._load(key))
            loading.add_done_callback(lambda _: self._loading.pop(key, None))
        # A task of its own: a request that is cancelled does not take the others' answer with it.
        return await asyncio.shield(loading)

    def _keep(self, key: Key, value: Value | None) -> Value | None:
        if value is None:
            self._known.pop(key, None)
            return None
        now = self._clock()
        self._known[key] = _Known(value, now, now + self._fresh_s)
        self._known.move_to_end(key)
        while len(self._known) > self._size_max:
            self._known.popitem(last=False)
        return value
