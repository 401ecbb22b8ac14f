"""Run by Alembic: `tierwise.db.migrate` hands the connection over."""

from alembic import context

from tierwise.db.migrate import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
)
with context.begin_transaction():
    context.run_migrations()
