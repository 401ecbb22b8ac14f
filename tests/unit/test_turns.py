"""Of two batches that overlap only the later one waits, and it lets go where the earlier one tries again."""

import asyncio
from contextlib import suppress

import pytest

from tierwise_scoring.turns import Turn, TurnLost


async def waits(step: asyncio.Task[None]) -> bool:
    await asyncio.wait({step}, timeout=0.01)
    return not step.done()


def fail(turn: Turn) -> None:
    with suppress(ConnectionError), turn.attempt():
        raise ConnectionError


async def test_a_batch_begins_when_the_one_before_holds_its_customers() -> None:
    first = Turn()
    second = Turn(first)
    beginning = asyncio.create_task(second.begin())
    assert await waits(beginning)
    first.locked()
    await beginning


async def test_it_writes_when_the_one_before_is_stored() -> None:
    first = Turn()
    second = Turn(first)
    first.locked()
    coming = asyncio.create_task(second.come())
    assert await waits(coming)
    first.end()
    await coming


async def test_where_the_one_before_fails_it_lets_go_and_waits_for_its_end() -> None:
    first = Turn()
    second = Turn(first)
    coming = asyncio.create_task(second.come())
    alone = asyncio.create_task(second.alone())
    fail(first)
    with pytest.raises(TurnLost):
        await coming
    assert await waits(alone)
    first.end()
    await alone
    await second.come()


async def test_whoever_comes_after_one_that_lost_its_turn_lets_go_too() -> None:
    first = Turn()
    second = Turn(first)
    second.locked()
    fail(first)
    with pytest.raises(TurnLost), second.attempt():
        await second.come()
    third = Turn(second)
    first.end()
    with pytest.raises(TurnLost):
        await asyncio.wait_for(third.come(), 1)


async def test_the_first_one_waits_for_nobody() -> None:
    only = Turn()
    await only.begin()
    await only.come()
    await only.alone()
