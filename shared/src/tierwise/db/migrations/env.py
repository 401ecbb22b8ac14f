"""Run by Alembic: `tierwise.db.migrate` hands the connection over."""

from alembic import context
from alembic.script import ScriptDirectory

from tierwise.db.migrate import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
)
with context.begin_transaction():
    context.run_migrations()
    # For versions that do not know the migration: `tierwise.db.migrate` asks whether they run on what it left.
    reached = context.get_context().get_current_revision()
    if reached is not None:
        migration = ScriptDirectory.from_config(context.config).get_revision(reached).module
        context.execute(f"COMMENT ON TABLE alembic_version IS '{migration.serves_from}'")
