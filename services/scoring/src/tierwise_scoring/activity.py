"""Activity: how much happened when, by channel, kept beside the interactions that come and go."""

from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

import asyncpg
import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db.engine import driver_connection
from tierwise.domain.calendar import QUARTER_S
from tierwise.domain.interaction import Interaction
from tierwise.domain.match import counts
from tierwise.folding.refold import stored_interaction
from tierwise.security.personal import NotSealedHere, Vault

UNITS: Final = 10_000
"""Of an amount, as ingest lets it pass with four digits after the point."""

_SALES: Final = ("purchase", "refund")
_PAGE: Final = 50_000


class Sale(NamedTuple):
    """`amount`: in UNITS of the currency, which is the base currency where it is None."""

    amount: int | None
    currency: str | None


_NO_SALE: Final = Sale(None, None)


def sale_of(interaction: Interaction) -> Sale:
    """Of a purchase or a refund that counts; without an amount in it, of nothing."""
    if interaction.type not in _SALES or not counts(interaction):
        return _NO_SALE
    amount, currency = interaction.properties.get("amount"), interaction.properties.get("currency")
    units = 0 if amount is None else int(round(Decimal(str(amount)), 4) * UNITS)
    return Sale(units, currency if isinstance(currency, str) and currency else None)


class _Cell(NamedTuple):
    quarter: int
    channel: str
    sale: str
    currency: str


async def add_activity(tx: asyncpg.Connection, interactions: Sequence[Interaction], sales: Iterable[Sale]) -> None:
    """`sales`: of each interaction, by `sale_of`."""
    await _add(tx, interactions, sales, 1)


async def take_activity(tx: asyncpg.Connection, rows: Sequence[asyncpg.Record], vault: Vault) -> None:
    """`rows`: of the table `interactions`, where they are no more (TAKEN names the columns)."""
    sales = [Sale(row["amount"], row["currency"]) for row in rows]
    await _add(tx, [_stored(row, vault) for row in rows], sales, -1)


TAKEN: Final = "key, id, time, received, channel, type, body, amount, currency"


def _stored(row: asyncpg.Record, vault: Vault) -> Interaction:
    try:
        return stored_interaction(row, "", vault)
    except (NotSealedHere, msgspec.MsgspecError, ValueError):  # what is not readable was when it was counted
        told = {name: row[name] for name in ("id", "time", "received", "channel", "type")}
        return Interaction(source="", identifiers={}, **told)


async def _add(tx: asyncpg.Connection, interactions: Sequence[Interaction], sales: Iterable[Sale], each: int) -> None:
    count: Counter[_Cell] = Counter()
    amounts: Counter[_Cell] = Counter()
    for one, sale in zip(interactions, sales, strict=True):
        if sale.amount is not None:
            cell = _Cell(_quarter(one), one.channel, one.type, sale.currency or "")
            amounts[cell] += each * sale.amount
        elif counts(one):
            cell = _Cell(_quarter(one), one.channel, "", "")
        else:
            continue
        count[cell] += each
    if count:
        rows = [(*cell, many, amounts[cell]) for cell, many in count.items()]
        await tx.copy_records_to_table("activity_news", columns=_COLUMNS, records=rows)


_COLUMNS: Final = (*_Cell._fields, "count", "amount")


def _quarter(interaction: Interaction) -> int:
    return int(interaction.time.timestamp()) // QUARTER_S


async def add_up_news(engine: AsyncEngine) -> None:
    """A page at a time. Whoever reads both tables in one statement sees the same before and after."""
    while True:
        async with engine.begin() as connection:
            tx = await driver_connection(connection)
            if not await tx.fetchval("SELECT pg_try_advisory_xact_lock($1)", _LOCK):
                return  # another worker is at it
            if await tx.fetchval(_ADD_UP, _PAGE) < _PAGE:
                return


_LOCK: Final = 0x616374697669  # "activi"
_ADD_UP: Final = """
    WITH news AS (
        DELETE FROM activity_news WHERE ctid = ANY (ARRAY(SELECT ctid FROM activity_news LIMIT $1))
        RETURNING quarter, channel, sale, currency, count, amount
    ), added AS (
        INSERT INTO activity AS held (quarter, channel, sale, currency, count, amount)
        SELECT quarter, channel, sale, currency, sum(count), sum(amount) FROM news GROUP BY 1, 2, 3, 4
        ON CONFLICT (quarter, channel, sale, currency) DO UPDATE
        SET count = held.count + excluded.count, amount = held.amount + excluded.amount
    )
    SELECT count(*) FROM news"""
