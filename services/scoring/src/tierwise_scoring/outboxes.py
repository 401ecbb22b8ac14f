"""The outboxes: how the rows of `changes` and `dead_letters` become records of the topics.

Changes are CloudEvents 1.0 in the binary mode of its Kafka protocol binding: attributes as headers, data as value.
"""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from tierwise.db.engine import driver_connection
from tierwise.db.outbox import SHARDS, STORED_CHANGE
from tierwise.db.rulebooks import Rulebooks
from tierwise.domain.change import StoredChange, encoded, event_id, rfc3339
from tierwise.domain.customer_id import public_id
from tierwise.publishing.kinds import kind_of
from tierwise.security.personal import Vault
from tierwise.stream import topics
from tierwise.stream.port import Outgoing
from tierwise_scoring.relay import Window


class ChangesOutbox:
    """`changes`, by shard of customers; the quiet ones are passed over."""

    name, number, shards = "changes", 0, SHARDS

    def __init__(self) -> None:
        self._rulebooks = Rulebooks()

    async def records(
        self, connection: AsyncConnection, shard: int, window: Window, last_id: int, limit: int
    ) -> tuple[Sequence[tuple[str, Outgoing]], int | None]:
        raw = await driver_connection(connection)
        rows = await raw.fetch(
            f"""SELECT held.id, held.quiet, {STORED_CHANGE}
               FROM changes AS held LEFT JOIN sources ON sources.id = held.source_id
               WHERE shard = $1 AND xid >= $2::text::xid8 AND xid < $3::text::xid8
                 AND held.id > $4 AND held.id <= $5
               ORDER BY held.id LIMIT $6""",
            shard,
            str(window.start),
            str(window.end),
            window.last_id,
            last_id,
            limit,
        )
        loud = [StoredChange(*row[2:]) for row in rows if not row["quiet"]]  # selected in the order of its fields
        named = {change.rulebook_id for change in loud}
        rulebooks = {number: await self._rulebooks.get(connection, number) for number in named}
        records = [_event(change, encoded(change, rulebooks[change.rulebook_id])) for change in loud]
        return records, rows[-1]["id"] if rows else None


def _event(change: StoredChange, data: bytes) -> tuple[str, Outgoing]:
    topic, event_type = kind_of(change.aspect)
    subject = public_id(change.customer_id).encode()
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", event_id(change).encode()),
        ("ce_type", event_type.encode()),
        ("ce_source", b"/tierwise"),
        ("ce_subject", subject),
        ("ce_time", rfc3339(change.recorded_at).encode()),
        ("content-type", b"application/json"),
    )
    return topic, Outgoing(key=subject, value=data, headers=headers)


class DeadLettersOutbox:
    """`dead_letters`: each record as it was, with where it stood and why it could not be used as headers."""

    name, number, shards = "dead_letters", 1, 1

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def records(
        self, connection: AsyncConnection, shard: int, window: Window, last_id: int, limit: int
    ) -> tuple[Sequence[tuple[str, Outgoing]], int | None]:
        raw = await driver_connection(connection)
        rows = await raw.fetch(
            """SELECT id, topic, partition, position, record_key, ciphertext, reason, detail FROM dead_letters
               WHERE xid >= $1::text::xid8 AND xid < $2::text::xid8 AND id > $3 AND id <= $4 ORDER BY id LIMIT $5""",
            str(window.start),
            str(window.end),
            window.last_id,
            last_id,
            limit,
        )
        records = []
        for row in rows:
            headers = (
                ("tierwise_dead_letter", str(row["id"]).encode()),
                ("tierwise_reason", row["reason"].encode()),
                ("tierwise_detail", row["detail"].encode()),
                ("tierwise_position", f"{row['topic']}[{row['partition']}]:{row['position']}".encode()),
            )
            value = self._vault.open(row["ciphertext"])
            records.append((topics.DEAD_LETTERS, Outgoing(key=row["record_key"] or b"", value=value, headers=headers)))
        return records, rows[-1]["id"] if rows else None
