"""A part of the scoring service that ends by itself raises, whichever way it ends, and so ends the service."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tierwise_scoring.service import Ended, lasting


async def cancelled_from_inside() -> None:
    other = asyncio.create_task(asyncio.sleep(60))
    other.cancel()
    await other


async def done() -> None: ...


@pytest.mark.parametrize("part", [cancelled_from_inside, done])
async def test_a_part_that_ends_by_itself_is_named(part: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with pytest.raises(Ended, match=getattr(part, "__name__", "")):
        await lasting(part())


async def test_what_it_raises_is_raised_and_who_cancels_it_cancels_it() -> None:
    async def fails() -> None:
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        await lasting(fails())
    lasts = asyncio.create_task(lasting(asyncio.sleep(60)))
    await asyncio.sleep(0)
    lasts.cancel()
    with pytest.raises(asyncio.CancelledError):
        await lasts
