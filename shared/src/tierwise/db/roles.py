"""What each service may do in the database, where services have roles of their own (deploy/postgresql/roles.sql makes
them). Commands of operators run as the owner of the tables, like `tierwise migrate`.

Ingest meets the internet: it cannot read a customer. The profile API shows customers and cannot change one: what
people say through it are entries of the stream, which scoring takes in.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tierwise.db import months


class Granted(NamedTuple):
    """On one table, to each service."""

    ingest: str = ""
    scoring: str = ""
    profile_api: str = ""


ROLES: Final = Granted("tierwise_ingest", "tierwise_scoring", "tierwise_profile_api")

_READ: Final = "SELECT"
_ADD: Final = "SELECT, INSERT"
_CHANGE: Final = "SELECT, INSERT, UPDATE"
_ALL: Final = "SELECT, INSERT, UPDATE, DELETE"

_STATE: Final = Granted(scoring=_ALL, profile_api=_READ)
_SCORING_ALONE: Final = Granted(scoring=_ALL)
_EVERYONE: Final = Granted(_READ, _READ, _READ)

PRIVILEGES: Final[Mapping[str, Granted]] = {
    "alembic_version": _EVERYONE,
    "keyring": _EVERYONE,  # sealed with the secret key
    # Who may send and read, and what they may.
    "keys": Granted(_READ, "", _CHANGE),
    "sources": Granted(_READ, _ADD, _CHANGE),
    "source_secrets": Granted(_READ, "", _CHANGE),
    "audit": Granted(profile_api="SELECT, INSERT, DELETE"),
    # The rules.
    "rulebooks": Granted(scoring="SELECT, UPDATE", profile_api=_READ),
    "cuts": Granted(scoring=_ADD, profile_api=_READ),
    # Customers.
    "customers": _STATE,
    "customer_facets": _STATE,
    "facet_values": _STATE,
    "activity": _STATE,
    "activity_news": _STATE,
    "identifiers": _STATE,
    "interactions": _STATE,
    "checkpoints": _STATE,
    "interaction_keys": _SCORING_ALONE,
    "batches": _STATE,
    "segments": Granted(scoring="SELECT, UPDATE", profile_api=_ALL),
    "segment_members": Granted(scoring=_ALL, profile_api="SELECT, DELETE"),
    "reviews": _SCORING_ALONE,
    "changes": _STATE,
    "mentions": _STATE,
    "rulings": _STATE,
    "ruled_identifiers": _STATE,
    "erased_customers": _STATE,
    "dead_letters": _SCORING_ALONE,
    "stream_positions": _STATE,
    "relay_cursors": _SCORING_ALONE,
    # Webhooks: made through the API, sent by scoring.
    "subscriptions": Granted(scoring="SELECT, UPDATE", profile_api=_ALL),
    "subscription_secrets": Granted(scoring="SELECT, DELETE", profile_api=_ALL),
    "subscription_replays": Granted(scoring="SELECT, UPDATE, DELETE", profile_api=_ALL),
    "deliveries": Granted(scoring=_ALL, profile_api=_ALL),
    # The embedded stream: services append to it; scoring reads it and lets go of what it has read.
    "stream_cluster": _EVERYONE,
    "stream_topics": _EVERYONE,
    "stream_heads": Granted("SELECT, UPDATE", "SELECT, UPDATE", "SELECT, UPDATE"),
    "stream_batches": Granted("INSERT", _ALL, "INSERT"),
    "stream_members": _SCORING_ALONE,
}


async def present(connection: AsyncConnection) -> Sequence[str]:
    """Those of ROLES that this server has."""
    query = text("SELECT rolname FROM pg_roles WHERE rolname = ANY (:roles)")
    return (await connection.scalars(query, {"roles": list(ROLES)})).all()


async def grant(connection: AsyncConnection) -> None:
    """To the roles that there are, what they may and no more; needs the owner of the tables."""
    for function in months.FUNCTIONS:
        await connection.execute(text(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC"))
    for role in await present(connection):
        for statement in _statements(role):
            await connection.execute(text(statement))


def _statements(role: str) -> Iterator[str]:
    place = ROLES.index(role)
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}"
    yield f"GRANT USAGE ON SCHEMA public TO {role}"
    for table, granted in PRIVILEGES.items():
        if granted[place]:
            yield f"GRANT {granted[place]} ON {table} TO {role}"
    if role == ROLES.scoring:
        yield f"GRANT USAGE ON SEQUENCE customer_ids TO {role}"
        yield from (f"GRANT EXECUTE ON FUNCTION {function} TO {role}" for function in months.FUNCTIONS)
