"""Interactions that tie customers together, and what has to hold of everyone afterwards."""

import random
from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.product import page_view, purchase
from tierwise.domain.interaction import Interaction

SHARED = "info@example.com"


def chains(rng: random.Random, *, people: int, length: int) -> list[Interaction]:
    """People of so many identifiers each: one interaction of every identifier by itself, and in any order those that
    tie each to its neighbour, from both ends."""
    alone: list[Interaction] = []
    ties: list[Interaction] = []
    for person in range(people):
        for link in range(length):
            alone.append(purchase(len(alone), f"{link}.50", identifiers=_named(person, link)))
            if link:
                both = [_named(person, link - 1), _named(person, link)]
                rng.shuffle(both)
                ties.append(page_view(10_000 + len(ties), identifiers=both[0] | both[1]))
    rng.shuffle(ties)
    return [*alone, *ties]


def sharing(customers: int) -> list[Interaction]:
    """Customers who buy by themselves, and then all give the same e-mail address."""
    bought = [purchase(number, "1.00", identifiers={"user_id": f"u{number}"}) for number in range(customers)]
    given = [
        page_view(100_000 + number, identifiers={"user_id": f"u{number}", "email": SHARED})
        for number in range(customers)
    ]
    return [*bought, *given]


def _named(person: int, link: int) -> dict[str, str]:
    """Neighbours are of two kinds, so that one interaction can name both; any two orders meet crosswise."""
    kind = "user_id" if link % 2 else "email"
    value = f"p{person}-{link}"
    return {kind: value if kind == "user_id" else f"{value}@example.com"}


async def gaps(engine: AsyncEngine) -> Sequence[int]:
    """Customers, also those who were merged, whose changes are not 1, 2, 3 ... up to what their row says."""
    query = """
        SELECT held.id FROM customers AS held LEFT JOIN changes ON changes.customer_id = held.id
        GROUP BY held.id, held.sequence
        HAVING count(changes.sequence) <> held.sequence OR count(DISTINCT changes.sequence) <> held.sequence
            OR max(changes.sequence) <> held.sequence"""
    async with engine.connect() as connection:
        return (await connection.execute(text(query))).scalars().all()


async def chained(engine: AsyncEngine) -> int:
    """Of those who were merged: how many name one who was merged as well."""
    query = """SELECT count(*) FROM customers AS loser JOIN customers AS winner ON winner.id = loser.merged_into
               WHERE winner.merged_into IS NOT NULL"""
    async with engine.connect() as connection:
        return int((await connection.execute(text(query))).scalar_one())
