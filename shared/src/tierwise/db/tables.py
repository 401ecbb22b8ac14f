"""Every table. Alembic compares the migrations with this module (`tierwise migrate --check`).

Times are timestamptz. `xid8` columns hold the transaction that wrote the row: see `tierwise_scoring.relay`.
Personal data is only in `ciphertext` columns and inside sealed values of packed ones.
"""

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    event,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import UserDefinedType

from tierwise.db import months
from tierwise.db.facets import ATTRIBUTES

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id, which never wraps around; an int here."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "xid8"


class Hash128(UserDefinedType[bytes]):
    """16 bytes in a uuid column, half the size of the same in a bytea; bytes here, see `tierwise.db.engine`."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "uuid"


def _time(name: str, *, nullable: bool = False, now: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=func.now() if now else None)


keyring = Table(
    "keyring",
    metadata,
    # 'identifiers' (hashing), 'sealing' (AES-256-GCM), 'keys' (hashing write and read keys)
    Column("purpose", Text, primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),  # the data key, sealed with TIERWISE_SECRET_KEY
    _time("created_at", now=True),
)

sources = Table(
    "sources",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    # tierwise.domain.source.Trust as JSON: channels, identifier kinds, attributes, linking, default region
    Column("trust", JSONB, nullable=False),
    # tierwise.domain.source.Intake as JSON: formats, origins, rate, schemas, mapping
    Column("intake", JSONB, nullable=False, server_default=text("'{}'")),
    _time("created_at", now=True),
    _time("retired_at", nullable=True),
)

source_secrets = Table(
    "source_secrets",
    metadata,
    # Of webhook providers: by these a request's signature is checked. Two while rotating.
    Column("id", Integer, Identity(), primary_key=True),
    Column("source_id", Integer, ForeignKey("sources.id"), nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    _time("created_at", now=True),
    _time("retired_at", nullable=True),  # may lie ahead: it is good until then
    Index("ix_source_secrets_source_id", "source_id"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("source_id", Integer, ForeignKey("sources.id")),  # of a write key
    Column("scopes", ARRAY(Text), nullable=False),  # of a read key
    Column("rate_per_s", Float),  # requests that a read key may make; none: without a limit
    _time("created_at", now=True),
    _time("revoked_at", nullable=True),  # may lie ahead: it is good until then
)

audit = Table(
    "audit",
    metadata,
    # Whose unmasked personal data was read, by whom, when and how; forgotten after AUDIT_RETENTION_DAYS.
    Column("id", BigInteger, Identity(), primary_key=True),
    _time("at", now=True),
    Column("reader", Text, nullable=False),  # the id of a key, or oidc:SUBJECT
    Column("name", Text, nullable=False),  # what the key is called, or whom the token says
    Column("customer_id", BigInteger),  # none: everyone, in an export
    Column("what", Text, nullable=False),  # the method and the route's template
    Index("ix_audit_customer_id", "customer_id", "id"),
    Index("ix_audit_at", "at"),
)

rulebooks = Table(
    "rulebooks",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),  # the newest row is the rulebook in force
    Column("version", Text, nullable=False),
    Column("document", Text, nullable=False),
    _time("published_at", now=True),
    Column("quiet", Boolean, nullable=False, server_default=text("false")),  # its changes are not published
    Column("reached", BigInteger, nullable=False, server_default=text("0")),  # the pass has taken pages up to this id
    _time("released_at", nullable=True),  # everyone is on it, and on its newest cuts
)

cuts = Table(
    "cuts",
    metadata,
    # Tiers as shares of the customers: the least scores, as they were taken. A rulebook's newest ones are in force.
    Column("id", Integer, Identity(), primary_key=True),  # their number
    Column("rulebook_id", Integer, ForeignKey("rulebooks.id"), nullable=False),
    Column("close", Date, nullable=False),  # the business day at whose close the scores were as counted
    Column("scores", ARRAY(Integer), nullable=False),  # hundredths, by tier from the highest down
    Column("customers", BigInteger, nullable=False),
    Column("quiet", Boolean, nullable=False),  # its changes are not published
    _time("taken_at", now=True),
    Index("ix_cuts_rulebook_id", "rulebook_id"),
)

customer_ids = Sequence("customer_ids", metadata=metadata)

customers = Table(
    "customers",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("merged_into", BigInteger),  # always the final winner, never a loser in turn
    Column("ledger", LargeBinary, nullable=False),  # tierwise.domain.ledger
    Column("attributes", LargeBinary, nullable=False),  # tierwise.domain.attributes
    Column("result", LargeBinary, nullable=False),  # tierwise.domain.classify, laid out by the rulebook
    Column("rulebook_id", Integer, nullable=False),
    Column("cuts", Integer),  # the number of those that the result was made with; none: the fixed scores
    _time("first_seen"),
    _time("last_seen"),
    Column("stage_since", Date, nullable=False),
    _time("classified_at"),
    Column("sequence", Integer, nullable=False),  # of the last change
    Column("version", Integer, nullable=False),
    Index("ix_customers_merged_into", "merged_into", postgresql_where=text("merged_into IS NOT NULL")),
    postgresql_with={"fillfactor": "75"},  # room for HOT updates: no index on what changes
)

facet_values = Table(
    "facet_values",
    metadata,
    # What the numbers in customer_facets stand for: tierwise.db.facets.
    Column("facet", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("facet", "number"),
    UniqueConstraint("facet", "value"),
)

customer_facets = Table(
    "customer_facets",
    metadata,
    # What lists, counts and statistics read: all of it, for no index would bear being written as often. So it is
    # narrow, and without nulls, whose rows are slower to take apart. Texts are numbers of facet_values, 0 where they
    # are not known; what is asked for most comes first.
    Column("customer_id", BigInteger, primary_key=True, autoincrement=False),
    _time("first_seen"),
    _time("last_seen"),
    Column("amount", BigInteger, nullable=False),  # of the orders, minor units
    Column("orders", Integer, nullable=False),
    Column("score", SmallInteger, nullable=False),  # of intent, tenths
    Column("tier_score", SmallInteger, nullable=False),  # hundredths
    *(Column(name, SmallInteger, nullable=False) for name in ("tier", "intent", "stage", "preferred_channel")),
    *(Column(name, Integer, nullable=False) for name in ATTRIBUTES),
    Column("tags", LargeBinary, nullable=False),  # tierwise.db.facets.bits_of
    Column("interests", ARRAY(Integer), nullable=False),
    Column("words", ARRAY(BigInteger), nullable=False),  # of names, by keyed hash: tierwise.domain.name_words
    postgresql_with={"fillfactor": "80"},
)

segments = Table(
    "segments",
    metadata,
    # Whom a filter fits, by a name of its own. A pass brings `segment_members` in line with it; who writes customers
    # keeps them there.
    Column("id", Integer, Identity(), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("labels", JSONB, nullable=False),  # by language
    Column("filter", Text, nullable=False),  # an expression: tierwise.finding.expression_sql
    _time("created_at", now=True),
    _time("changed_at", now=True),
    Column("quiet", Boolean, nullable=False),  # what the pass that is under way finds is not published
    Column("cause", Text, nullable=False),  # of that pass: segment (it is new, or another one), time
    Column("pass_after", Xid8),  # it begins when this transaction and those before it have ended
    Column("reached", BigInteger),  # it has looked at the customers up to this id; none: none is under way
    Column("passed_on", Date),  # the business day of the last whole one
)

segment_members = Table(
    "segment_members",
    metadata,
    Column("customer_id", BigInteger, nullable=False),
    Column("segment_id", Integer, nullable=False),
    PrimaryKeyConstraint("customer_id", "segment_id"),
)

reviews = Table(
    "reviews",
    metadata,
    # When time alone can next change a customer's classification; no row: never. Beside the customer's row, which so
    # has no index on anything that changes.
    Column("customer_id", BigInteger, primary_key=True, autoincrement=False),
    _time("due"),
    Index("ix_reviews_due", "due"),
    postgresql_with={"fillfactor": "75"},
)

identifiers = Table(
    "identifiers",
    metadata,
    Column("hash", Hash128, primary_key=True),  # keyed hash of kind and value
    Column("customer_id", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Index("ix_identifiers_customer_id", "customer_id"),
)

rulings = Table(
    "rulings",
    metadata,
    # What people decided of who is who: tierwise.domain.ruling.
    Column("key", Hash128, primary_key=True),
    Column("number", BigInteger, Identity(), nullable=False, unique=True),  # in the order of their coming
    Column("id", Text, nullable=False),
    Column("ruling", Text, nullable=False),  # split, block, unblock, erase
    Column("author", Text, nullable=False),
    _time("at"),
    Column("reason", LargeBinary),  # sealed
    Column("customer_id", BigInteger),  # whom it was said of, as the id was then
    Column("kind", Text),  # of the identifier that is blocked or unblocked,
    Column("ciphertext", LargeBinary),  # and its value
    _time("recorded_at", now=True),
)

ruled_identifiers = Table(
    "ruled_identifiers",
    metadata,
    # What each ruling says of each identifier: tierwise.domain.ties.Word.
    Column("hash", Hash128, nullable=False),
    Column("key", Hash128, nullable=False),  # of the ruling
    Column("ruling", Text, nullable=False),
    Column("side", SmallInteger, nullable=False),
    _time("at"),
    PrimaryKeyConstraint("hash", "key"),
    Index("ix_ruled_identifiers_key", "key"),
)

mentions = Table(
    "mentions",
    metadata,
    # Who has interactions that name an identifier which, by a ruling, is not theirs. Some may have none any more.
    Column("hash", Hash128, nullable=False),
    Column("customer_id", BigInteger, nullable=False),  # as in interactions
    Column("kind", Text, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    PrimaryKeyConstraint("hash", "customer_id"),
)

erased_customers = Table(
    "erased_customers",
    metadata,
    Column("customer_id", BigInteger, primary_key=True, autoincrement=False),
    _time("erased_at", now=True),
)

interaction_keys = Table(
    "interaction_keys",
    metadata,
    Column("key", Hash128, primary_key=True),  # tierwise.domain.interaction.key_of
    Column("day", Integer, nullable=False),  # of the interaction's time, days since 1970 UTC: for the horizon
    Column("content", Integer, nullable=False),  # tierwise.domain.interaction.content_of; 4 bytes that the row had free
)

batches = Table(
    "batches",
    metadata,
    # Of imports, by the name that people give them.
    Column("id", Integer, Identity(), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    _time("retracted_before", nullable=True),  # no interaction of it that was received before then counts,
    _time("cleared_before", nullable=True),  # and none that was received before then is stored any more
    # Of its interactions in checkpoints, which are there for good.
    Column("summed", BigInteger, nullable=False, server_default=text("0")),
)

interactions = Table(
    "interactions",
    metadata,
    Column("customer_id", BigInteger, nullable=False),  # as it was then: a merged customer's stay with its id
    _time("time"),
    Column("key", Hash128, nullable=False),
    Column("source_id", Integer, nullable=False),
    Column("batch_id", Integer, nullable=False, server_default=text("0")),  # of an import; 0: of none
    Column("id", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("type", Text, nullable=False),
    _time("received"),
    Column("identifiers", ARRAY(Hash128), nullable=False),  # the strongest first
    Column("body", LargeBinary, nullable=False),  # tierwise.db.bodies: attributes, properties; personal values sealed
    Column("amount", BigInteger),  # of a purchase or refund that counts, ten-thousandths of its currency; none: other
    Column("currency", Text),  # of the amount; none: the base currency
    Column("links", Boolean, nullable=False, server_default=text("true")),  # else the first identifier says whose it is
    PrimaryKeyConstraint("customer_id", "time", "key"),
    Index("ix_interactions_batch_id", "batch_id", "customer_id", postgresql_where=text("batch_id <> 0")),
    Index(
        "ix_interactions_amount",
        "time",
        postgresql_include=["customer_id", "type", "amount", "currency"],
        postgresql_where=text("amount IS NOT NULL"),
    ),
    postgresql_partition_by="RANGE (time)",  # by month: tierwise.db.months
)
for definition in months.FUNCTIONS.values():
    event.listen(interactions, "after_create", DDL(definition.replace("%", "%%")))  # type: ignore[no-untyped-call]

checkpoints = Table(
    "checkpoints",
    metadata,
    # What interactions came to that are stored no more: tierwise.folding.checkpoints.
    Column("customer_id", BigInteger, primary_key=True, autoincrement=False),  # as in interactions
    _time("before"),
    _time("first_seen"),
    _time("last_seen"),
    _time("received"),
    Column("interactions", BigInteger, nullable=False),
    _time("ruled_at"),
    Column("identifiers", ARRAY(Hash128), nullable=False),
    Column("ledger", LargeBinary, nullable=False),
    Column("attributes", LargeBinary, nullable=False),
)

_ACTIVITY = (
    # How many interactions that count began in a quarter of an hour, by channel; purchases and refunds apart.
    ("quarter", Integer),  # quarters of an hour since 1970 UTC: no time zone has a midnight within one
    ("channel", Text),
    ("sale", Text),  # purchase, refund; empty: another
    ("currency", Text),  # of the amount; empty: the base currency
    ("count", BigInteger),
    ("amount", BigInteger),  # ten-thousandths of the currency
)

activity = Table(
    "activity",
    metadata,
    *(Column(name, type_, nullable=False) for name, type_ in _ACTIVITY),
    PrimaryKeyConstraint("quarter", "channel", "sale", "currency"),
    postgresql_with={"fillfactor": "75"},
)

activity_news = Table(
    "activity_news",
    metadata,
    # What came to `activity`, or left it, and is not added up yet: workers add rows here and wait for nobody.
    *(Column(name, type_, nullable=False) for name, type_ in _ACTIVITY),
)

changes = Table(
    "changes",
    metadata,
    # The history of every customer, and the outbox of what is published.
    Column("customer_id", BigInteger, nullable=False),
    Column("sequence", Integer, nullable=False),  # gapless per customer, over all aspects
    Column("id", BigInteger, Identity(), nullable=False),
    Column("xid", Xid8, nullable=False, server_default=text("pg_current_xact_id()")),
    Column("shard", SmallInteger, nullable=False),
    Column("aspect", Text, nullable=False),  # tier, intent, lifecycle, tag:FAMILY.NAME, merge, split, erase
    Column("from", Text),
    Column("to", Text),
    Column("score", Integer),  # tenths; of the aspects tier and intent
    Column("merged", BigInteger),  # the other customer, of the aspects merge and split
    _time("at"),
    _time("recorded_at", now=True),
    Column("rulebook_id", Integer, nullable=False),
    Column("cuts", Integer),  # as in customers
    Column("cause", Text, nullable=False),  # interaction, time, import, release, cuts, override, or a ruling
    Column("interaction", Text),
    Column("source_id", Integer),
    Column("reasons", LargeBinary, nullable=False),  # tierwise.domain.change: the largest parts, packed
    Column("quiet", Boolean, nullable=False),
    PrimaryKeyConstraint("customer_id", "sequence"),
    Index("ix_changes_shard_xid", "shard", "xid", "id"),
    Index("ix_changes_shard_id", "shard", "id"),
    Index("ix_changes_recorded_at", "recorded_at", postgresql_using="brin"),  # rows come in its order: it is tiny
    Index("ix_changes_lifecycle", "customer_id", "to", postgresql_where=text("aspect = 'lifecycle'")),
    Index("ix_changes_segment", "customer_id", "aspect", postgresql_where=text("aspect LIKE 'segment:%'")),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("xid", Xid8, nullable=False, server_default=text("pg_current_xact_id()")),
    Column("cluster", Text, nullable=False),
    Column("topic_id", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("record_key", LargeBinary),
    Column("ciphertext", LargeBinary, nullable=False),  # the record's bytes, sealed
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    _time("created_at", now=True),
    _time("replayed_at", nullable=True),
    Index("ix_dead_letters_xid", "xid", "id"),
)

stream_positions = Table(
    "stream_positions",
    metadata,
    # Where scoring stands: moved by compare-and-set in the transaction that holds the effects.
    Column("cluster", Text, nullable=False),
    Column("topic_id", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("topic", Text, nullable=False),
    Column("position", BigInteger, nullable=False),
    PrimaryKeyConstraint("cluster", "topic_id", "partition"),
    postgresql_with={"fillfactor": "50"},
)

subscriptions = Table(
    "subscriptions",
    metadata,
    # Webhooks: who gets changes by HTTP, and how far each has come, as in relay_cursors.
    Column("id", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("filters", JSONB, nullable=False),  # tierwise.webhooks.document.Filters as JSON
    Column("request", LargeBinary),  # of a destination: tierwise.webhooks.template.Template, sealed
    Column("enabled", Boolean, nullable=False),
    Column("disabled_reason", Text),  # of one that was disabled here, not by a person
    _time("disabled_at", nullable=True),
    _time("paused_until", nullable=True),  # the endpoint asked for it, by Retry-After
    _time("created_at", now=True),
    Column("window_from", Xid8, nullable=False),
    Column("window_to", Xid8, nullable=False),
    Column("last_id", BigInteger, nullable=False),
    postgresql_with={"fillfactor": "50"},
)

subscription_secrets = Table(
    "subscription_secrets",
    metadata,
    # Two while rotating.
    Column("id", Integer, Identity(), primary_key=True),
    Column("subscription_id", Text, ForeignKey("subscriptions.id", ondelete="CASCADE"), nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),  # tierwise.webhooks.signing.Secret
    _time("created_at", now=True),
    _time("retired_at", nullable=True),  # may lie ahead: it signs until then
    Index("ix_subscription_secrets_subscription_id", "subscription_id"),
)

subscription_replays = Table(
    "subscription_replays",
    metadata,
    # Time ranges of changes that are still to be sent again.
    Column("id", Integer, Identity(), primary_key=True),
    Column("subscription_id", Text, ForeignKey("subscriptions.id", ondelete="CASCADE"), nullable=False),
    _time("since"),  # of what was recorded in [since, until),
    _time("until"),
    Column("after_id", BigInteger, nullable=False),  # the rows of `changes` after this one,
    Column("last_id", BigInteger, nullable=False),  # up to and with this one
    Index("ix_subscription_replays_subscription_id", "subscription_id"),
)

deliveries = Table(
    "deliveries",
    metadata,
    # What is to be sent to subscriptions, and the log of what was.
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("subscription_id", Text, ForeignKey("subscriptions.id", ondelete="CASCADE"), nullable=False),
    Column("kind", Text, nullable=False),  # change, replay, test
    Column("customer_id", BigInteger),  # with `sequence` a row of changes; none: a test
    Column("sequence", Integer),
    Column("state", Text, nullable=False, server_default=text("'pending'")),  # pending, delivered, failed
    Column("attempt", SmallInteger, nullable=False, server_default=text("0")),  # how many were made
    Column("attempts", JSONB, nullable=False, server_default=text("'[]'")),  # webhooks.attempt, the oldest first
    _time("due", now=True),
    _time("created_at", now=True),
    _time("finished_at", nullable=True),
    Index("ix_deliveries_pending", "subscription_id", "customer_id", "id", postgresql_where=text("state = 'pending'")),
    Index("ix_deliveries_subscription_id_id", "subscription_id", "id"),
    Index("ix_deliveries_finished_at", "finished_at"),
    postgresql_with={"fillfactor": "75"},
)

relay_cursors = Table(
    "relay_cursors",
    metadata,
    Column("outbox", Text, nullable=False),  # changes, dead_letters
    Column("shard", SmallInteger, nullable=False),
    Column("window_from", Xid8, nullable=False),  # the transactions [window_from, window_to) are being published,
    Column("window_to", Xid8, nullable=False),  # all of them ended,
    Column("last_id", BigInteger, nullable=False),  # up to and with this row
    PrimaryKeyConstraint("outbox", "shard"),
    postgresql_with={"fillfactor": "50"},
)
