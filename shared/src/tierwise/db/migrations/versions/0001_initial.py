"""Everything of the first version."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from tierwise.db import months
from tierwise.db.tables import Hash128, Xid8

revision = "0001"
down_revision = None
serves_from = "0001"  # the head of the oldest version that runs on this


def upgrade() -> None:
    op.execute("CREATE SEQUENCE customer_ids")
    op.create_table(
        "batches",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("retracted_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cleared_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("summed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_batches"),
        sa.UniqueConstraint("name", name="uq_batches_name"),
    )
    op.create_table(
        "changes",
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("aspect", sa.Text(), nullable=False),
        sa.Column("from", sa.Text(), nullable=True),
        sa.Column("to", sa.Text(), nullable=True),
        sa.Column("score", sa.Integer(), nullable=True),
        sa.Column("merged", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("rulebook_id", sa.Integer(), nullable=False),
        sa.Column("cuts", sa.Integer(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("interaction", sa.Text(), nullable=True),
        sa.Column("source_id", sa.Integer(), nullable=True),
        sa.Column("reasons", sa.LargeBinary(), nullable=False),
        sa.Column("quiet", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "sequence", name="pk_changes"),
    )
    op.create_index(
        "ix_changes_lifecycle",
        "changes",
        ["customer_id", "to"],
        unique=False,
        postgresql_where=sa.text("aspect = 'lifecycle'"),
    )
    op.create_index("ix_changes_recorded_at", "changes", ["recorded_at"], unique=False, postgresql_using="brin")
    op.create_index(
        "ix_changes_segment",
        "changes",
        ["customer_id", "aspect"],
        unique=False,
        postgresql_where=sa.text("aspect LIKE 'segment:%'"),
    )
    op.create_index("ix_changes_shard_id", "changes", ["shard", "id"], unique=False)
    op.create_index("ix_changes_shard_xid", "changes", ["shard", "xid", "id"], unique=False)
    for name in ("activity", "activity_news"):
        key = ("quarter", "channel", "sale", "currency")
        op.create_table(
            name,
            sa.Column("quarter", sa.Integer(), nullable=False),
            sa.Column("channel", sa.Text(), nullable=False),
            sa.Column("sale", sa.Text(), nullable=False),
            sa.Column("currency", sa.Text(), nullable=False),
            sa.Column("count", sa.BigInteger(), nullable=False),
            sa.Column("amount", sa.BigInteger(), nullable=False),
            *([sa.PrimaryKeyConstraint(*key, name="pk_activity")] if name == "activity" else []),
            postgresql_with={"fillfactor": "75"} if name == "activity" else {},
        )
    op.create_table(
        "facet_values",
        sa.Column("facet", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("facet", "number", name="pk_facet_values"),
        sa.UniqueConstraint("facet", "value", name="uq_facet_values_facet_value"),
    )
    op.create_table(
        "customer_facets",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("orders", sa.Integer(), nullable=False),
        sa.Column("score", sa.SmallInteger(), nullable=False),
        sa.Column("tier_score", sa.SmallInteger(), nullable=False),
        sa.Column("tier", sa.SmallInteger(), nullable=False),
        sa.Column("intent", sa.SmallInteger(), nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("preferred_channel", sa.SmallInteger(), nullable=False),
        sa.Column("region", sa.Integer(), nullable=False),
        sa.Column("industry", sa.Integer(), nullable=False),
        sa.Column("first_touch", sa.Integer(), nullable=False),
        sa.Column("last_touch", sa.Integer(), nullable=False),
        sa.Column("city_tier", sa.Integer(), nullable=False),
        sa.Column("age_group", sa.Integer(), nullable=False),
        sa.Column("gender", sa.Integer(), nullable=False),
        sa.Column("occupation", sa.Integer(), nullable=False),
        sa.Column("company_size", sa.Integer(), nullable=False),
        sa.Column("customer_type", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Integer(), nullable=False),
        sa.Column("tags", sa.LargeBinary(), nullable=False),
        sa.Column("interests", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("words", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name="pk_customer_facets"),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_table(
        "customers",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("merged_into", sa.BigInteger(), nullable=True),
        sa.Column("ledger", sa.LargeBinary(), nullable=False),
        sa.Column("attributes", sa.LargeBinary(), nullable=False),
        sa.Column("result", sa.LargeBinary(), nullable=False),
        sa.Column("rulebook_id", sa.Integer(), nullable=False),
        sa.Column("cuts", sa.Integer(), nullable=True),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stage_since", sa.Date(), nullable=False),
        sa.Column("classified_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_customers"),
        postgresql_with={"fillfactor": "75"},
    )
    op.create_index(
        "ix_customers_merged_into",
        "customers",
        ["merged_into"],
        unique=False,
        postgresql_where=sa.text("merged_into IS NOT NULL"),
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("topic_id", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("record_key", sa.LargeBinary(), nullable=True),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("replayed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_dead_letters"),
    )
    op.create_index("ix_dead_letters_xid", "dead_letters", ["xid", "id"], unique=False)
    op.create_table(
        "identifiers",
        sa.Column("hash", Hash128(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_identifiers"),
    )
    op.create_index("ix_identifiers_customer_id", "identifiers", ["customer_id"], unique=False)
    op.create_table(
        "rulings",
        sa.Column("key", Hash128(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("ruling", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.LargeBinary(), nullable=True),
        sa.Column("customer_id", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_rulings"),
        sa.UniqueConstraint("number", name="uq_rulings_number"),
    )
    op.create_table(
        "ruled_identifiers",
        sa.Column("hash", Hash128(), nullable=False),
        sa.Column("key", Hash128(), nullable=False),
        sa.Column("ruling", sa.Text(), nullable=False),
        sa.Column("side", sa.SmallInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("hash", "key", name="pk_ruled_identifiers"),
    )
    op.create_index("ix_ruled_identifiers_key", "ruled_identifiers", ["key"], unique=False)
    op.create_table(
        "mentions",
        sa.Column("hash", Hash128(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", "customer_id", name="pk_mentions"),
    )
    op.create_table(
        "erased_customers",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name="pk_erased_customers"),
    )
    op.create_table(
        "interaction_keys",
        sa.Column("key", Hash128(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("content", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_interaction_keys"),
    )
    op.create_table(
        "interactions",
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key", Hash128(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("received", sa.DateTime(timezone=True), nullable=False),
        sa.Column("identifiers", postgresql.ARRAY(Hash128()), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("links", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "time", "key", name="pk_interactions"),
        postgresql_partition_by="RANGE (time)",
    )
    for definition in months.FUNCTIONS.values():
        op.execute(definition)
    op.create_index(
        "ix_interactions_amount",
        "interactions",
        ["time"],
        unique=False,
        postgresql_include=["customer_id", "type", "amount", "currency"],
        postgresql_where=sa.text("amount IS NOT NULL"),
    )
    op.create_index(
        "ix_interactions_batch_id",
        "interactions",
        ["batch_id", "customer_id"],
        unique=False,
        postgresql_where=sa.text("batch_id <> 0"),
    )
    op.create_table(
        "checkpoints",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received", sa.DateTime(timezone=True), nullable=False),
        sa.Column("interactions", sa.BigInteger(), nullable=False),
        sa.Column("ruled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("identifiers", postgresql.ARRAY(Hash128()), nullable=False),
        sa.Column("ledger", sa.LargeBinary(), nullable=False),
        sa.Column("attributes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name="pk_checkpoints"),
    )
    op.create_table(
        "keyring",
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("purpose", name="pk_keyring"),
    )
    op.create_table(
        "relay_cursors",
        sa.Column("outbox", sa.Text(), nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("window_from", Xid8(), nullable=False),
        sa.Column("window_to", Xid8(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("outbox", "shard", name="pk_relay_cursors"),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "segments",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("labels", postgresql.JSONB(), nullable=False),
        sa.Column("filter", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("quiet", sa.Boolean(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("pass_after", Xid8(), nullable=True),
        sa.Column("reached", sa.BigInteger(), nullable=True),
        sa.Column("passed_on", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_segments"),
        sa.UniqueConstraint("name", name="uq_segments_name"),
    )
    op.create_table(
        "segment_members",
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("segment_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "segment_id", name="pk_segment_members"),
    )
    op.create_table(
        "reviews",
        sa.Column("customer_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("due", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name="pk_reviews"),
        postgresql_with={"fillfactor": "75"},
    )
    op.create_index("ix_reviews_due", "reviews", ["due"], unique=False)
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=True),
        sa.Column("what", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_at", "audit", ["at"], unique=False)
    op.create_index("ix_audit_customer_id", "audit", ["customer_id", "id"], unique=False)
    op.create_table(
        "rulebooks",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("quiet", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("reached", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_rulebooks"),
    )
    op.create_table(
        "sources",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("trust", postgresql.JSONB(), nullable=False),
        sa.Column("intake", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_sources"),
        sa.UniqueConstraint("name", name="uq_sources_name"),
    )
    op.create_table(
        "stream_batches",
        sa.Column("topic", sa.Integer(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("base_position", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column(
            "appended_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition", "base_position", name="pk_stream_batches"),
        postgresql_with={"autovacuum_vacuum_scale_factor": "0.02", "toast.autovacuum_vacuum_scale_factor": "0.02"},
    )
    op.create_table(
        "stream_cluster",
        sa.Column("only", sa.Boolean(), nullable=False),
        sa.Column("id", sa.Text(), server_default=sa.text("gen_random_uuid()::text"), nullable=False),
        sa.CheckConstraint('"only"', name="ck_stream_cluster_only"),
        sa.PrimaryKeyConstraint("only", name="pk_stream_cluster"),
    )
    op.create_table(
        "stream_positions",
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("topic_id", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("cluster", "topic_id", "partition", name="pk_stream_positions"),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "stream_topics",
        sa.Column("number", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("id", sa.Text(), server_default=sa.text("gen_random_uuid()::text"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("partitions", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_stream_topics"),
        sa.UniqueConstraint("id", name="uq_stream_topics_id"),
        sa.UniqueConstraint("name", name="uq_stream_topics_name"),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=True),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("rate_per_s", sa.Float(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name="fk_keys_source_id"),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.UniqueConstraint("hash", name="uq_keys_hash"),
    )
    op.create_table(
        "cuts",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("rulebook_id", sa.Integer(), nullable=False),
        sa.Column("close", sa.Date(), nullable=False),
        sa.Column("scores", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("customers", sa.BigInteger(), nullable=False),
        sa.Column("quiet", sa.Boolean(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["rulebook_id"], ["rulebooks.id"], name="fk_cuts_rulebook_id"),
        sa.PrimaryKeyConstraint("id", name="pk_cuts"),
    )
    op.create_index("ix_cuts_rulebook_id", "cuts", ["rulebook_id"], unique=False)
    op.create_table(
        "source_secrets",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name="fk_source_secrets_source_id"),
        sa.PrimaryKeyConstraint("id", name="pk_source_secrets"),
    )
    op.create_index("ix_source_secrets_source_id", "source_secrets", ["source_id"], unique=False)
    op.create_table(
        "stream_heads",
        sa.Column("topic", sa.Integer(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("first", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("next", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["topic"], ["stream_topics.number"], name="fk_stream_heads_topic", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("topic", "partition", name="pk_stream_heads"),
        postgresql_with={"fillfactor": "25"},
    )
    op.create_table(
        "stream_members",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("group", sa.Text(), nullable=False),
        sa.Column("topic", sa.Integer(), nullable=False),
        sa.Column("lock", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["topic"], ["stream_topics.number"], name="fk_stream_members_topic", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_stream_members"),
    )
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("filters", postgresql.JSONB(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("window_from", Xid8(), nullable=False),
        sa.Column("window_to", Xid8(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_subscriptions"),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "subscription_secrets",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.id"],
            name="fk_subscription_secrets_subscription_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_subscription_secrets"),
    )
    op.create_index(
        "ix_subscription_secrets_subscription_id", "subscription_secrets", ["subscription_id"], unique=False
    )
    op.create_table(
        "subscription_replays",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("after_id", sa.BigInteger(), nullable=False),
        sa.Column("last_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.id"],
            name="fk_subscription_replays_subscription_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_subscription_replays"),
    )
    op.create_index(
        "ix_subscription_replays_subscription_id", "subscription_replays", ["subscription_id"], unique=False
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=True),
        sa.Column("sequence", sa.Integer(), nullable=True),
        sa.Column("state", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("attempt", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempts", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("due", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name="fk_deliveries_subscription_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        postgresql_with={"fillfactor": "75"},
    )
    op.create_index("ix_deliveries_finished_at", "deliveries", ["finished_at"], unique=False)
    op.create_index(
        "ix_deliveries_pending",
        "deliveries",
        ["subscription_id", "customer_id", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index("ix_deliveries_subscription_id_id", "deliveries", ["subscription_id", "id"], unique=False)
