"""The tables of the embedded stream: the event log when no Apache Kafka is configured.

One row of `stream_batches` holds the records that one transaction appended to one partition. Positions are given
out by the partition's row of `stream_heads`, whose lock an appender keeps until it commits: so they appear in order.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
    text,
)

from tierwise.db.tables import metadata

stream_cluster = Table(
    "stream_cluster",
    metadata,
    # One row, made with the first topic: the name of this log among all logs, part of every stored position.
    Column("only", Boolean, CheckConstraint('"only"', name="ck_stream_cluster_only"), primary_key=True),
    Column("id", Text, nullable=False, server_default=text("gen_random_uuid()::text")),
)

stream_topics = Table(
    "stream_topics",
    metadata,
    Column("number", Integer, Identity(), primary_key=True),  # short, for the rows below; never used twice
    Column("id", Text, nullable=False, unique=True, server_default=text("gen_random_uuid()::text")),
    Column("name", Text, nullable=False, unique=True),
    Column("partitions", Integer, nullable=False),
)

stream_heads = Table(
    "stream_heads",
    metadata,
    Column("topic", Integer, ForeignKey("stream_topics.number", ondelete="CASCADE"), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("first", BigInteger, nullable=False, server_default=text("0")),  # the first position still kept
    Column("next", BigInteger, nullable=False, server_default=text("0")),  # of the next record to append
    PrimaryKeyConstraint("topic", "partition"),
    postgresql_with={"fillfactor": "25"},  # updated with every append: room for HOT updates between vacuums
)

stream_batches = Table(
    "stream_batches",
    metadata,
    # No foreign key to the head: its row lock would be one more write for every append.
    Column("topic", Integer, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("base_position", BigInteger, nullable=False),  # of its first record
    Column("count", Integer, nullable=False),
    Column("appended_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("payload", LargeBinary, nullable=False),  # tierwise.stream.payload: packed, compressed, sealed
    PrimaryKeyConstraint("topic", "partition", "base_position"),
    # Rows are deleted as fast as they come, once scored: vacuum by the thousand, not by the fifth of the table.
    postgresql_with={
        "autovacuum_vacuum_scale_factor": "0.02",
        "toast.autovacuum_vacuum_scale_factor": "0.02",
    },
)

stream_members = Table(
    "stream_members",
    metadata,
    # Who reads in which group. A member lives while its session holds the advisory lock `lock` and `seen_at` moves.
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("group", Text, nullable=False),
    Column("topic", Integer, ForeignKey("stream_topics.number", ondelete="CASCADE"), nullable=False),
    Column("lock", BigInteger, nullable=False),
    Column("seen_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
