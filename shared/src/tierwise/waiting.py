"""Waiting for an event, and not for ever."""

import asyncio


async def happens_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether it is set by then. Not wait_for, which on Python 3.11 may lose a cancellation that comes at the same
    moment as the event."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
