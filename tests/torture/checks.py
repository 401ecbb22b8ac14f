"""What has to hold once everything has calmed down."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.torture.journal import Journal
from tests.torture.said import RULINGS, UNCOUNTED, WRITER, Script, form_of
from tests.torture.subscriber import Event, Subscriber, content_of
from tierwise.db.engine import driver_connection, snapshot
from tierwise.db.outbox import STORED_CHANGE
from tierwise.db.rulebooks import Rulebooks
from tierwise.domain import ledger, packed_ledger
from tierwise.domain.change import StoredChange, event_id, published
from tierwise.domain.customer_id import internal_id
from tierwise.domain.interaction import CHANNELS, key_of
from tierwise.domain.rulebook.book import activity_name
from tierwise.publishing.kinds import kind_of
from tierwise.stream.port import Stream, StreamUnavailable
from tierwise.stream.topics import INTERACTIONS
from tierwise_scoring.positions import passed

CALM_WITHIN_S: Final = 90.0
_NAMED: Final = 5  # of what is wrong
_ACTIVITY: Final = [
    ledger.signal_id(activity_name(channel, active=active)) for channel in CHANNELS for active in (True, False)
]


class Counted(NamedTuple):
    """How many of the acknowledged interactions are not there, how many are there twice, and that in words."""

    lost: int
    twice: int
    wrong: list[str]


@dataclass
class Checks:
    """Each of its methods answers with what is wrong, in words. Nothing may be sent meanwhile. `opened`: the stream,
    for one look at it. `accepted`: so far; of these `written` back, and of these `rulings`."""

    engine: AsyncEngine
    opened: Callable[[], AbstractAsyncContextManager[Stream]]
    script: Script
    journal: Journal
    subscriber: Subscriber = field(default_factory=Subscriber)
    accepted: int = 0
    written: int = 0
    rulings: int = 0
    _uncounted: int = 0
    _marks: dict[str, int] = field(default_factory=dict)
    _rulebooks: Rulebooks = field(default_factory=Rulebooks)

    async def calm(self) -> tuple[float, list[str]]:
        """Until all that is on the stream is scored and all changes are published. Returns how many seconds that took,
        and what is wrong with what was published. Raises TimeoutError after CALM_WITHIN_S."""
        began, wrong = monotonic(), []
        async with asyncio.timeout(CALM_WITHIN_S), self.opened() as stream:
            while not await self._scored(stream):  # noqa: ASYNC110  (another process does it)
                await asyncio.sleep(0.05)
            while True:
                new, out_of_order = await self._published(stream)
                wrong += out_of_order + await self._untrue(new)
                async with self.engine.connect() as connection:
                    changes = await _fetchval(connection, "SELECT count(*) FROM changes")
                if len(self.subscriber.events) >= changes:
                    return monotonic() - began, wrong
                await asyncio.sleep(0.05)

    async def all_here_once(self) -> Counted:
        """Every acknowledged interaction is stored and counted, once, every acknowledged ruling is known, and nothing
        else is."""
        ids = self._acknowledged()
        keys = [key_of(source, id_) for source, id_ in ids]
        async with snapshot(self.engine) as connection:
            tx = await driver_connection(connection)
            rows = await tx.fetch(_KEYS, keys)
            stored, different = await tx.fetchrow("SELECT count(*), count(DISTINCT key) FROM interactions")
            ledgers = await tx.fetch("SELECT ledger FROM customers WHERE merged_into IS NULL")
            rulings = await tx.fetchval("SELECT count(*) FROM rulings")
            letters = await tx.fetchval("SELECT count(*) FROM dead_letters")
        found = {row[0] for row in rows}
        lost = [f"{id_} of {source} is lost" for key, (source, id_) in zip(keys, ids, strict=True) if key not in found]
        held = packed_ledger.unpack([row[0] for row in ledgers])
        counted = int(held.count[np.isin(held.signal, _ACTIVITY)].sum())
        interactions = self.accepted - self.rulings
        wanted = {
            "stored": (stored, interactions),
            "of different keys": (different, interactions),
            "counted": (counted, interactions - self._uncounted),
            "rulings": (rulings, self.rulings),
        }
        wrong = [f"{name}: {there} of {due}" for name, (there, due) in wanted.items() if there != due]
        return Counted(
            len(lost) or max(0, *(due - there for there, due in wanted.values())),
            max(0, *(there - due for there, due in wanted.values())),
            [*_some(lost), *wrong, *([f"dead letters: {letters}"] if letters else [])],
        )

    def _acknowledged(self) -> list[tuple[str, str]]:
        """(source, id) of what was since this was asked last."""
        new = list(self.journal.since(self._marks))
        ids = [one for client, number in new for one in self.script.ids(client, number)]
        forms = Counter(form_of(number) for client, number in new if client == WRITER)
        self.accepted += len(ids)
        self.written += forms.total()
        self.rulings += sum(forms[form] for form in RULINGS)
        self._uncounted += sum(forms[form] for form in UNCOUNTED)
        return ids

    async def nothing_is_missing_on_the_topics(self) -> list[str]:
        """The sequences on all topics together are 1, 2, 3, ... for every customer, up to what its row says; as in the
        history."""
        sequences: defaultdict[str, int] = defaultdict(int)
        for event in self.subscriber.events.values():
            sequences[event.customer] += 1
        highest: dict[str, int] = {}
        for event in self.subscriber.events.values():
            highest[event.customer] = max(highest.get(event.customer, 0), event.sequence)
        wrong = [
            f"{one}: {sequences[one]} events up to {last}" for one, last in highest.items() if sequences[one] != last
        ]
        given = {internal_id(customer): last for customer, last in highest.items()}
        async with snapshot(self.engine) as connection:
            tx = await driver_connection(connection)
            history = await tx.fetch(
                """SELECT held.id, held.sequence, count(changes.sequence), max(changes.sequence)
                   FROM customers AS held LEFT JOIN changes ON customer_id = held.id GROUP BY held.id"""
            )
        for id_, sequence, count, last in history:
            if not sequence == count == (last or 0) == given.get(id_, 0):
                wrong.append(
                    f"customer {id_}: at {sequence}, history {count} up to {last}, published {given.get(id_, 0)}"
                )
        return _some(wrong)

    async def _scored(self, stream: Stream) -> bool:
        try:
            ends = await stream.ends(INTERACTIONS)
        except StreamUnavailable:
            return False
        async with self.engine.connect() as connection:
            return await passed(connection, ends)

    async def _published(self, stream: Stream) -> tuple[list[Event], list[str]]:
        try:
            return await self.subscriber.more(stream)
        except StreamUnavailable:
            return [], []

    async def _untrue(self, events: Sequence[Event]) -> list[str]:
        """Events that are not in the history as they were published: a crash took them back."""
        if not events:
            return []
        async with self.engine.connect() as connection:
            tx = await driver_connection(connection)
            rows = await tx.fetch(
                f"""SELECT {STORED_CHANGE}
                    FROM unnest($1::bigint[], $2::int[]) AS given (customer_id, sequence)
                         JOIN changes AS held USING (customer_id, sequence)
                         LEFT JOIN sources ON sources.id = held.source_id""",
                [internal_id(event.customer) for event in events],
                [event.sequence for event in events],
            )
            true = dict([await self._content(connection, StoredChange(*row)) for row in rows])
        return _some(
            [
                f"{event.id} is not in the history as it was published"
                for event in events
                if true.get(event.id) != event.content
            ]
        )

    async def _content(self, connection: AsyncConnection, change: StoredChange) -> tuple[str, bytes]:
        rulebook = await self._rulebooks.get(connection, change.rulebook_id)
        topic, _ = kind_of(change.aspect)
        return event_id(change), content_of(topic, msgspec.json.encode(published(change, rulebook)))

    async def history_is_as_published(self) -> list[str]:
        """Every event that was ever given out, again."""
        events = list(self.subscriber.events.values())
        return [
            one for start in range(0, len(events), 20_000) for one in await self._untrue(events[start : start + 20_000])
        ]


_KEYS: Final = """
    SELECT key FROM interaction_keys WHERE key = ANY($1::uuid[])
    UNION ALL SELECT key FROM rulings WHERE key = ANY($1::uuid[])"""


async def _fetchval(connection: AsyncConnection, query: str) -> Any:
    return await (await driver_connection(connection)).fetchval(query)


def _some(wrong: Iterable[str]) -> list[str]:
    """The first of them, and how many there are."""
    every = list(wrong)
    return every if len(every) <= _NAMED else [*every[:_NAMED], f"... {len(every)} in all"]
