"""`tierwise up --demo`: sample traffic, what it changes, and what to open next."""

import asyncio
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain, dropwhile, islice
from pathlib import Path

import msgspec
from rich.console import Console
from rich.text import Text
from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.addresses import url_of
from tierwise.db.tables import customer_facets, facet_values
from tierwise.security.personal import open_vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise.stream.port import Partition
from tierwise.stream.topics import INTERACTIONS
from tierwise_embedded.demo_changes import show_changes
from tierwise_embedded.demo_keys import DemoKeys, demo_env, ensure_demo_keys
from tierwise_embedded.simulate.arrange import as_if_now, until
from tierwise_embedded.simulate.progress import traffic_progress
from tierwise_embedded.simulate.send import NotTaken, Sent, send
from tierwise_embedded.simulate.traffic import simulate
from tierwise_ingest.importing.run import NotScored, wait_until_scored

CUSTOMERS, SEED, HISTORY_DAYS = 2_000, 1, 180
LIVE_RATE = 3.0
_BAR_WIDTH = 30
_SCORING_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Poured:
    """How far the sample traffic is. `live`: items sent after the history."""

    start: str
    history_done: bool = False
    live: int = 0


class Demo:
    """One run of the demo, on services that are ready. `console`: for what it shows, `bars`: for progress bars."""

    def __init__(self, settings: Settings, engine: AsyncEngine, console: Console, bars: Console) -> None:
        self._settings = settings
        self._engine = engine
        self._console = console
        self._bars = bars

    async def run(self) -> None:
        """Until cancelled."""
        vault = await open_vault(self._engine, self._settings)
        keys = await ensure_demo_keys(self._engine, vault, self._settings.data_dir)
        poured = _poured(self._state, fresh=keys.fresh)
        api = url_of("profile-api", self._settings)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(show_changes(self._engine, api, keys.read, self._console))
            try:
                if not poured.history_done:
                    poured = await self._pour_history(poured, keys)
                async with open_stream(self._settings, self._engine, vault) as stream:
                    await self._scored(dict(await stream.ends(INTERACTIONS)))
                await self._summary()
                self._what_next(keys)
                await self._trickle(poured, keys)
            except NotTaken as error:
                self._console.print(f"The sample traffic ends: {error}", style="red", markup=False)

    @property
    def _state(self) -> Path:
        return self._settings.data_dir / "demo.json"

    async def _pour_history(self, poured: Poured, keys: DemoKeys) -> Poured:
        self._console.print(f"Sample traffic: {CUSTOMERS:,} people, {HISTORY_DAYS} days", highlight=False)
        start = datetime.fromisoformat(poured.start)
        items = until(simulate(CUSTOMERS, SEED, start, history_days=HISTORY_DAYS), start)
        with traffic_progress(self._bars, start - timedelta(days=HISTORY_DAYS), start) as progressed:
            url = url_of("ingest", self._settings)
            sent = await send(items, url=url, key=keys.write, progressed=progressed)
        self._console.print(f"{sent.accepted:,} interactions accepted, {sent.rejected:,} rejected", highlight=False)
        return self._keep(replace(poured, history_done=True))

    async def _trickle(self, poured: Poured, keys: DemoKeys) -> None:
        start = datetime.fromisoformat(poured.start)
        traffic = simulate(CUSTOMERS, SEED, start, history_days=HISTORY_DAYS)
        after = dropwhile(lambda item: datetime.fromisoformat(item["time"]) < start, traffic)
        live = as_if_now(islice(after, poured.live, None), start)
        first = await asyncio.to_thread(list, islice(live, 1))  # draws the whole history again: a second's work

        def progressed(sent: Sent) -> None:
            self._keep(replace(poured, live=poured.live + sent.accepted + sent.rejected))

        await send(
            chain(first, live),
            url=url_of("ingest", self._settings),
            key=keys.write,
            rate=LIVE_RATE,
            progressed=progressed,
        )

    def _keep(self, poured: Poured) -> Poured:
        draft = self._state.with_suffix(".new")
        draft.write_bytes(msgspec.json.encode(asdict(poured)))
        draft.replace(self._state)
        return poured

    async def _scored(self, ends: dict[Partition, int]) -> None:
        try:
            await wait_until_scored(
                self._engine, ends, patience_s=_SCORING_PATIENCE_S, progressed=lambda done, total: None
            )
        except NotScored as error:
            self._console.print(f"{error}: see the lines of scoring above", style="yellow", markup=False)

    async def _summary(self) -> None:
        for title, column in (
            ("Tier", customer_facets.c.tier),
            ("Intent", customer_facets.c.intent),
            ("Stage", customer_facets.c.stage),
        ):
            async with self._engine.connect() as connection:
                named = and_(facet_values.c.facet == column.name, facet_values.c.number == column)
                value = facet_values.c.value
                counted = select(value, func.count()).join_from(customer_facets, facet_values, named).group_by(value)
                found = [(value, count) for value, count in await connection.execute(counted)]
            found.sort(key=(lambda pair: pair[0]) if title == "Tier" else (lambda pair: -pair[1]))
            total = sum(count for _, count in found)
            self._console.print(f"\n{title} of {total:,} customers", style="bold", highlight=False)
            for value, count in found:
                bar = "█" * round(_BAR_WIDTH * count / total)
                line = Text(f"  {value:<12} {count:>6,}  ").append(bar, style="cyan")
                self._console.print(line, highlight=False)

    def _what_next(self, keys: DemoKeys) -> None:
        ingest, api = url_of("ingest", self._settings), url_of("profile-api", self._settings)
        item = (
            '{"id": "my-first", "channel": "order", "type": "purchase", '
            '"identifiers": {"email": "li@example.com"}, "properties": {"amount": "1299.00", "currency": "CNY"}}'
        )
        self._console.print("\nWhat to open next", style="bold")
        lines = (
            f"{api}/docs",
            f". {demo_env(self._settings.data_dir).absolute()}",
            f'curl {ingest}/v1/interactions -H "Authorization: Bearer $TIERWISE_WRITE_KEY" \\',
            f"  -H 'Content-Type: application/json' -d '{item}'",
            f'curl {api}/v1/customers/by/email/li@example.com -H "Authorization: Bearer $TIERWISE_READ_KEY"',
        )
        for line in lines:
            self._console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
        self._console.print(
            f"\nLive traffic goes on, {LIVE_RATE:g} a second, and so does what it changes. Ctrl-C stops everything.\n",
            highlight=False,
            soft_wrap=True,
        )


def _poured(state: Path, *, fresh: bool) -> Poured:
    """Where the last run stopped; from the beginning where its keys, and so its database, are gone."""
    if fresh or not state.is_file():
        return Poured(start=datetime.now(UTC).isoformat(timespec="seconds"))
    return msgspec.json.decode(state.read_bytes(), type=Poured)
