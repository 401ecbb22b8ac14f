"""Connecting to Kafka, where it is broken off."""

import asyncio

import pytest

from tierwise.stream.kafka_access import connected


async def test_connecting_that_is_cancelled_may_end_by_itself() -> None:
    ended = asyncio.Event()

    async def bootstrap() -> None:
        await asyncio.sleep(0.02)
        ended.set()

    joining = asyncio.create_task(connected(bootstrap()))
    await asyncio.sleep(0)
    joining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await joining
    assert ended.is_set()


async def test_what_connecting_fails_with_is_raised() -> None:
    async def bootstrap() -> None:
        raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        await connected(bootstrap())
