"""The months of the table `interactions`: each is a partition of its own, made when the first interaction of it comes.

A partition is made apart and attached, which no reader and no writer waits for. Dropping one waits for whoever reads
or writes any, and holds back those who come meanwhile: so it soon gives up, to be tried again. Both belong to the owner
of the tables; scoring, which is not that, asks by functions.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Final

import asyncpg

OLDEST: Final = date(1999, 12, 1)
"""Everything older lies with this month: dates that senders get wrong, as 1970, need no partitions of their own."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

ADD_MONTH: Final = f"""
CREATE OR REPLACE FUNCTION add_interactions_month(first date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    month date := date_trunc('month', greatest(first, '{OLDEST}'));
    name text := 'interactions_' || to_char(month, 'YYYY_MM');
    since text := CASE WHEN month = '{OLDEST}' THEN 'MINVALUE' ELSE quote_literal(month::timestamptz) END;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('add_interactions_month'));
    IF NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass(name)) THEN
        EXECUTE format('CREATE TABLE %I (LIKE interactions INCLUDING ALL)', name);
        EXECUTE format('ALTER TABLE interactions ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%L)',
                       name, since, (month + interval '1 month')::timestamptz);
    END IF;
END $$"""

DROP_MONTH: Final = """
CREATE OR REPLACE FUNCTION drop_interactions_month(first date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '200ms' AS $$
DECLARE
    name text := 'interactions_' || to_char(first, 'YYYY_MM');
    stored boolean;
BEGIN
    LOCK TABLE ONLY interactions IN ACCESS EXCLUSIVE MODE;
    IF to_regclass(name) IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM %I)', name) INTO stored;
    IF NOT stored THEN
        EXECUTE format('DROP TABLE %I', name);
    END IF;
    RETURN NOT stored;
END $$"""

FUNCTIONS: Final = {"add_interactions_month(date)": ADD_MONTH, "drop_interactions_month(date)": DROP_MONTH}
"""By signature; for scoring alone (`tierwise.db.roles`)."""


def month_of(day: int) -> date:
    """The first day of the month in whose partition a day lies. `day`: since 1970, UTC, as in `interaction_keys`."""
    return max((_EPOCH.date() + timedelta(days=day)).replace(day=1), OLDEST)


def day_of(time: datetime) -> int:
    """Since 1970, UTC."""
    return (time - _EPOCH).days


async def add_months(tx: asyncpg.Connection, days: Iterable[int]) -> None:
    """The partitions of these days, where they are missing. Whoever makes the same ones meanwhile is waited for."""
    for month in sorted({month_of(day) for day in days}):
        await tx.execute("SELECT add_interactions_month($1)", month)


async def stored_months(tx: asyncpg.Connection) -> list[date]:
    """Of which there are partitions, the oldest first."""
    rows = await tx.fetch(
        """SELECT to_date(right(relname, 7), 'YYYY_MM') AS month FROM pg_inherits JOIN pg_class ON oid = inhrelid
           WHERE inhparent = 'interactions'::regclass ORDER BY month"""
    )
    return [row[0] for row in rows]


def bounds_of(month: date) -> tuple[datetime, datetime]:
    """Its partition holds the times from the first up to the second one."""
    first = datetime(month.year, month.month, 1, tzinfo=UTC)
    following = (first + timedelta(days=31)).replace(day=1)
    return (datetime(1, 1, 2, tzinfo=UTC) if month == OLDEST else first), following


async def drop_month(tx: asyncpg.Connection, month: date) -> bool:
    """Whether it was empty, and is dropped. Raises LockNotAvailableError, soon, where somebody reads or writes."""
    dropped: bool = await tx.fetchval("SELECT drop_interactions_month($1)", month)
    return dropped


class MonthGone(Exception):  # noqa: N818
    """A month was dropped while interactions of it were on their way: they need its partition again."""


@contextmanager
def months_needed() -> Iterator[None]:
    """Raises MonthGone where an interaction finds no partition."""
    try:
        yield
    except asyncpg.CheckViolationError as error:
        if error.constraint_name is not None:
            raise
        raise MonthGone(str(error)) from error
