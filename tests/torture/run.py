"""A run: kill, wait until all is well again, check; and once more."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.database import TestServer
from tests.support.ingest import write_key
from tests.torture.checks import Checks, Counted
from tests.torture.clients import Clients
from tests.torture.journal import Journal
from tests.torture.reference import uninterrupted
from tests.torture.report import Report, Round
from tests.torture.said import CLIENTS, READER, Script
from tests.torture.system import NotBack, System, parts_of, running
from tests.torture.written import written
from tierwise.db.engine import DATABASE_ERRORS, driver_connection, open_engine
from tierwise.security.keys import SCOPES, create_read_key
from tierwise.security.personal import open_vault
from tierwise.stream.open import open_stream
from tierwise_scoring.digest import Digesting

DIGEST_EVERY: Final = 20  # kills
_RELAY_LOCKS: Final = 0x7469
_ALONE: Final = 0.7


@dataclass
class Run:
    """What a run works on. Make it with `opened`."""

    report: Report
    system: System
    clients: Clients
    checks: Checks
    reference: TestServer
    directory: Path

    async def kills(self, count: int, *, told: Callable[[Round], None]) -> None:
        """Until there were so many, those of the report included."""
        flowing = asyncio.create_task(self.clients.run())
        try:
            while len(self.report.rounds) < count:
                number = len(self.report.rounds) + 1
                one = await self._round(number, last=number == count)
                self.report.add(one)
                told(one)
        finally:
            flowing.cancel()
            await asyncio.wait({flowing})

    async def _round(self, number: int, *, last: bool) -> Round:
        draw = random.Random(f"{self.report.header.seed}/kill {number}")
        parts, began = chosen(draw, self.report.header.stream), monotonic()
        self.clients.flowing.set()
        await asyncio.sleep(draw.uniform(0.1, 0.8))
        back_s = calm_s = 0.0
        counted, digests = Counted(0, 0, []), None
        wrong: list[str] = []
        try:
            await asyncio.gather(
                *(self._kill(part, draw.uniform(0, 0.3) if at else 0) for at, part in enumerate(parts))
            )
            back_s = await self.system.back()
            await self.clients.quiet()
            calm_s, wrong = await self.checks.calm()
            counted = await self.checks.all_here_once()
            wrong += counted.wrong + await self.checks.nothing_is_missing_on_the_topics()
            if last or number % DIGEST_EVERY == 0:
                wrong += await self.checks.history_is_as_published()
                digests = await self._digests()
        except (NotBack, TimeoutError) as error:
            wrong.append(f"{type(error).__name__}: {error}\n{self.system.said()}")
        wrong += self.clients.wrong
        self.clients.wrong.clear()
        return Round(
            number=number,
            parts=parts,
            took_s=round(monotonic() - began, 2),
            back_s=round(back_s, 2),
            calm_s=round(calm_s, 2),
            accepted=self.checks.accepted,
            written=self.checks.written,
            rulings=self.checks.rulings,
            refused=self.clients.sent_again,
            events=len(self.checks.subscriber.events),
            repeats=self.checks.subscriber.repeats,
            lost=counted.lost,
            twice=counted.twice,
            ended=self.system.ended(),
            wrong=wrong,
            digests=digests,
        )

    async def _kill(self, part: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        if part == "relay":
            await _at_work(self.checks.engine)
        await self.system.kill(part)

    async def _digests(self) -> tuple[str, str]:
        at, script, engine = self.report.header.at, self.checks.script, self.checks.engine
        vault = await open_vault(engine, self.system.settings)
        found = await Digesting(engine, vault).run(at)
        back = await written(engine, vault)
        alone = await uninterrupted(self.reference, self.directory, script, self.checks.journal, back, at)
        return found.hash, alone.hash


def chosen(draw: random.Random, stream: str) -> list[str]:
    """What is killed: mostly one part, sometimes several, now and then all."""
    parts = parts_of(stream)
    if draw.random() < _ALONE:
        return [draw.choice(parts)]
    return sorted(draw.sample(parts, draw.choice([2, 2, 3, len(parts)])))


@asynccontextmanager
async def opened(report: Report, directory: Path, reference: TestServer) -> AsyncIterator[Run]:
    """`directory`: of this run, which goes on from what is there. `reference`: where the uninterrupted runs are."""
    stream, seed = report.header.stream, report.header.seed
    script = Script(seed, report.header.until)
    with closing(Journal(directory / "acknowledged.jsonl")) as journal:
        async with running(stream, directory) as system, open_engine(system.settings) as engine:
            vault = await open_vault(engine, system.settings)
            keys = {client: (await write_key(engine, vault, source=client)).secret for client in CLIENTS}
            async with engine.begin() as connection:
                reader = (await create_read_key(connection, vault, name=READER, scopes=SCOPES)).secret
            ingest, api = system.services["ingest"].url, system.services["profile-api"].url
            refused = report.rounds[-1].refused if report.rounds else 0
            clients = Clients(script, journal, ingest, api, keys, reader, refused=refused)
            checks = Checks(engine, partial(open_stream, system.settings, engine, vault), script, journal)
            yield Run(report, system, clients, checks, reference, directory)


async def _at_work(engine: AsyncEngine) -> None:
    """Until the relay is publishing, or half a second is over, or the database is away."""
    query = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = $1 AND granted)"
    with suppress(*DATABASE_ERRORS):
        async with engine.connect() as connection:
            tx = await driver_connection(connection)
            for _ in range(100):
                if await tx.fetchval(query, _RELAY_LOCKS):
                    return
                await asyncio.sleep(0.005)
