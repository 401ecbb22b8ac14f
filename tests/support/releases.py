"""Rulebooks that differ from the default one, and what has to hold after any release."""

from collections import defaultdict

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.listed import listed
from tests.support.product import Product
from tierwise.db import rulebooks
from tierwise.db.tables import changes, customers
from tierwise.domain.rulebook import default_text
from tierwise_scoring.rebuild import Rebuild

BROWSING = "    browsing:      {high: 'count(page_view, 30d) >= 20', low: 'count(page_view, 30d) between 1 and 4'}\n"


def rulebook(version: str, *edits: tuple[str, str]) -> str:
    """The default one with another version, edited."""
    document = default_text().replace('version: "2026-11"', f'version: "{version}"')
    for old, new in edits:
        assert old in document, old
        document = document.replace(old, new)
    return document


STRICTER = rulebook("stricter", ("{A: 65, B: 45, C: 28, D: 12}", "{A: 90, B: 70, C: 50, D: 30}"))
OTHER_TAGS = rulebook(
    "other tags",
    (BROWSING, "    visits:        {some: 'count(page_view) > 0'}\n"),
    ("  browsing.high: {en: Browses often", "  visits.some: {en: Visits"),
    ("  browsing.low: {en: Browses rarely, zh: 低频浏览}\n", ""),
    ("{repeat: 'count(purchase) >= 2', first: ", "{again: 'count(purchase) >= 2', first: "),
    ("  history.repeat:", "  history.again:"),
)
OTHER_SIGNALS = rulebook(
    "other signals",
    (
        "page_view:        {channel: web, type: page_view}",
        "page_view: {channel: web, type: page_view, where: 'hour < 12'}",
    ),
    ("timezone: Asia/Shanghai", "timezone: Europe/Berlin"),
)


async def publish(engine: AsyncEngine, document: str, *, quiet: bool = False) -> int:
    async with engine.begin() as connection:
        return await rulebooks.publish(connection, document, quiet=quiet)


async def on_rulebooks(engine: AsyncEngine) -> dict[int, int]:
    """How many customers are on each, by its number."""
    table = customers.c
    query = select(table.rulebook_id, func.count()).where(table.merged_into.is_(None)).group_by(table.rulebook_id)
    async with engine.connect() as connection:
        return dict((await connection.execute(query)).all())


async def all_is_well(product: Product, rulebook_id: int) -> None:
    """Everyone is on the rulebook, is what folding and classifying from the beginning gives, and the changes tell
    a gapless story that ends there."""
    assert set(await on_rulebooks(product.engine)) == {rulebook_id}
    report = await Rebuild(product.engine, product.vault, repair=False).everyone()
    assert report.differences == []
    await changes_tell_the_story(product)


async def changes_tell_the_story(product: Product) -> None:
    """Whoever follows the changes has what is stored: each starts where the one before it ended."""
    told: defaultdict[int, dict[str, str | None]] = defaultdict(dict)
    sequences: defaultdict[int, int] = defaultdict(int)
    async with product.engine.connect() as connection:
        rows = await connection.execute(select(changes).order_by(changes.c.customer_id, changes.c.sequence))
        for row in rows:
            sequences[row.customer_id] += 1
            assert row.sequence == sequences[row.customer_id]
            if row.aspect != "merge":
                assert row._mapping["from"] == told[row.customer_id].get(row.aspect), (row.customer_id, row.sequence)
                assert row._mapping["from"] != row.to
                told[row.customer_id][row.aspect] = row.to
        last = dict((await connection.execute(select(customers.c.id, customers.c.sequence))).all())
    for id_, facets in (await listed(product.engine)).items():
        story = told[id_]
        told_last = (story["tier"], story["intent"], story["lifecycle"])
        assert told_last == (facets["tier"], facets["intent"], facets["stage"])
        tags = [f"{name.removeprefix('tag:')}:{to}" for name, to in story.items() if name.startswith("tag:") and to]
        assert tuple(sorted(tags)) == facets["tags"]
        assert last[id_] == sequences[id_]


async def results(engine: AsyncEngine) -> dict[int, bytes]:
    async with engine.connect() as connection:
        query = select(customers.c.id, customers.c.result).where(customers.c.merged_into.is_(None))
        return dict((await connection.execute(query)).all())


async def causes(engine: AsyncEngine) -> dict[str, int]:
    async with engine.connect() as connection:
        query = select(changes.c.cause, func.count()).group_by(changes.c.cause)
        return dict((await connection.execute(query)).all())


async def released(engine: AsyncEngine) -> bool:
    async with engine.connect() as connection:
        return (await rulebooks.newest_release(connection)).released_at is not None
