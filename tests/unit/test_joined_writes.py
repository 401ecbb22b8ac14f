import asyncio

import pytest

from tierwise.joined_writes import JoinedWrites


class Recorded(asyncio.Transport):
    """A transport that keeps what is written to it, one entry a write."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 1


@pytest.fixture
async def below() -> Recorded:
    return Recorded()


async def test_what_is_written_in_one_turn_of_the_loop_is_one_write(below: Recorded) -> None:
    joined = JoinedWrites(below)
    for first, second in ((b"head", b"body"), (b"next ", bytearray(b"one"))):
        joined.write(first)
        joined.write(second)
        await asyncio.sleep(0)
    assert below.written == [b"headbody", b"next one"]


async def test_what_waits_is_written_before_the_end_and_counts_as_buffered(below: Recorded) -> None:
    joined = JoinedWrites(below)
    joined.write(b"last words")
    assert joined.get_write_buffer_size() == 11
    joined.close()
    assert (below.written, joined.is_closing()) == ([b"last words"], True)
    await asyncio.sleep(0)
    assert below.written == [b"last words"]


async def test_who_has_gone_away_is_written_nothing(below: Recorded) -> None:
    joined = JoinedWrites(below)
    joined.write(b"too late")
    below.closed = True
    await asyncio.sleep(0)
    assert below.written == []


async def test_nothing_is_written_after_an_abort(below: Recorded) -> None:
    joined = JoinedWrites(below)
    joined.write(b"too late")
    joined.abort()
    await asyncio.sleep(0)
    assert (below.written, below.closed) == ([], True)
