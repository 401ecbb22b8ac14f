"""Events on topics, and commands that print them."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec

from tests.support.services import Deployment
from tierwise.domain.change import TIER, StoredChange, event_id, published, rfc3339
from tierwise.domain.customer_id import public_id
from tierwise.domain.rulebook import default_text, load
from tierwise.publishing.kinds import kind_of
from tierwise.stream.port import Outgoing

PATIENCE_S = 30.0
AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
_RULEBOOK = load(default_text())


def tier_event(customer: int, sequence: int, old: str | None, new: str) -> Outgoing:
    """As the relay publishes it."""
    change = StoredChange(
        customer_id=customer, sequence=sequence, aspect=TIER, old=old, new=new, score=675, merged=None, at=AT,
        recorded_at=AT, rulebook_id=1, cuts=None, cause="interaction", interaction="ord-1", source="shop", reasons=b"",
    )  # fmt: skip
    headers = {
        "ce_specversion": "1.0", "ce_id": event_id(change), "ce_type": kind_of(TIER).type, "ce_source": "/tierwise",
        "ce_subject": public_id(customer), "ce_time": rfc3339(AT), "content-type": "application/json",
    }  # fmt: skip
    return Outgoing(
        key=public_id(customer).encode(),
        value=msgspec.json.encode(published(change, _RULEBOOK)),
        headers=[(name, value.encode()) for name, value in headers.items()],
    )


class Printing:
    """A process whose lines are gathered as they come."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._gathering = asyncio.create_task(self._gather())

    async def until(self, done: Callable[[list[str]], bool]) -> list[str]:
        async with asyncio.timeout(PATIENCE_S):
            while not done(self.lines):
                assert not self._gathering.done(), self.lines
                await asyncio.sleep(0.05)
        return self.lines

    async def interrupt(self) -> str:
        """Ctrl-C; what it says then on standard error. It has to end well."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.stderr is not None
        said = (await self.process.stderr.read()).decode()
        assert await asyncio.wait_for(self.process.wait(), PATIENCE_S) == 0, said
        return said

    async def close(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._gathering

    async def _gather(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode().rstrip())


@asynccontextmanager
async def subscribed(deployment: Deployment, topic: str, *arguments: str) -> AsyncIterator[Printing]:
    """`tierwise subscribe`, once it listens."""
    printing = Printing(await deployment.spawn("subscribe", topic, *arguments))
    assert printing.process.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            said = await printing.process.stderr.readline()
        assert b"listening" in said, said
        yield printing
    finally:
        await printing.close()


def data_of(line: str) -> dict[str, Any]:
    """Of what `--json` prints."""
    return dict(msgspec.json.decode(line)["data"])
