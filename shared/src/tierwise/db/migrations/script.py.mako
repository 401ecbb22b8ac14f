"""${message}"""

from alembic import op
import sqlalchemy as sa
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
serves_from = ${repr(down_revision)}  # the head of the oldest version that runs on this


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
