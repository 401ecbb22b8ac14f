"""Rebuilding: what is stored is what the stored interactions give, and where it is not, it is said and repaired."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from tests.support.command import tierwise
from tests.support.product import NOW, Product, history, page_view, purchase
from tests.support.scoring import score, views, worker
from tierwise.cli import build
from tierwise.db.rulebooks import Rulebooks
from tierwise.db.tables import changes, customer_facets, customers, identifiers, reviews, rulebooks
from tierwise.domain import attributes, ledger, packed_ledger
from tierwise.domain.customer_id import internal_id, public_id
from tierwise.domain.rulebook import default_text
from tierwise.problem import NotFound
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream import topics
from tierwise.stream.open import open_stream
from tierwise_scoring.rebuild import Rebuild, Report

NO_ROWS = packed_ledger.pack(ledger.empty(1), fold_version=0)[0]
LOSE_ONE = """
    UPDATE customers SET ledger = :ledger WHERE id =
        (SELECT id FROM customers WHERE merged_into IS NULL ORDER BY id OFFSET :number LIMIT 1)"""


@pytest.fixture
async def product(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Product]:
    async with open_stream(settings, engine, vault) as stream:
        yield Product(engine, stream, vault, settings)


@pytest.fixture
async def scored(product: Product) -> Product:
    """Many customers with all kinds of history, some of them merged."""
    small = product.settings.model_copy(update={"scoring_batch_max": 25})
    await product.append(*history(random.Random(5), customers=40, interactions=500))
    await score(product.engine, product.stream, product.vault, small, workers=2)
    return product


def rebuild(product: Product, **options: Any) -> Rebuild:
    return Rebuild(product.engine, product.vault, **options)


async def tamper(product: Product, statement: Any, parameters: dict[str, Any] | None = None) -> None:
    async with product.engine.begin() as connection:
        await connection.execute(text(statement) if isinstance(statement, str) else statement, parameters)


async def row_of(product: Product, identifier: str) -> Any:
    """The stored customer of a user_id."""
    hash_ = product.vault.identifier_hash("user_id", identifier)
    holder = select(identifiers.c.customer_id).where(identifiers.c.hash == hash_).scalar_subquery()
    async with product.engine.connect() as connection:
        return (await connection.execute(select(customers).where(customers.c.id == holder))).one()


async def rows(product: Product, table: Any) -> list[Any]:
    async with product.engine.connect() as connection:
        return list(await connection.execute(select(table).order_by(*table.primary_key)))


def parts_of(report: Report) -> dict[str, int]:
    return dict(report.parts)


async def test_after_a_varied_history_with_merges_nothing_differs(scored: Product) -> None:
    before = await rows(scored, customers)
    assert any(row.merged_into is not None for row in before)
    done: list[int] = []
    report = await rebuild(scored).everyone(done.append)
    assert (report.different, report.differences) == (0, [])
    assert report.interactions == 500
    assert report.customers == sum(row.merged_into is None for row in before) == done[-1]
    assert await rows(scored, customers) == before


async def test_what_is_older_than_the_horizon_is_stored_compact_and_does_not_differ_for_that(product: Product) -> None:
    bought = [purchase(number, "1.00", time=NOW - timedelta(days=30 * number)) for number in range(80)]
    await product.append(*bought)
    await score(product.engine, product.stream, product.vault, product.settings)
    row = await row_of(product, bought[0].identifiers["user_id"])
    held = packed_ledger.unpack([row.ledger])
    purchases = held.where(held.signal == ledger.signal_id("purchase"))
    recent = sum(one.time > row.classified_at - timedelta(days=1_095) for one in bought)
    assert recent <= len(purchases) <= recent + 3 < 80
    assert (int(purchases.count.sum()), int(purchases.value.sum())) == (80, 8_000)
    report = await rebuild(product).everyone()
    assert (report.customers, report.different, report.differences) == (1, 0, [])


async def test_everyone_is_classified_on_the_business_day_of_their_last_classification(scored: Product) -> None:
    earlier = "UPDATE customers SET classified_at = classified_at - interval '30 days' WHERE id % 2 = 0"
    await tamper(scored, earlier)
    found = await rebuild(scored).everyone()
    assert "customers.result" in parts_of(found).keys() <= {"customers.result", "customer_facets.*"}
    assert all((internal_id(one.customer_id) or 1) % 2 == 0 for one in found.differences)
    assert (await rebuild(scored).everyone()).different == 0


async def test_customers_of_an_older_rulebook_do_not_differ_for_that(scored: Product) -> None:
    """Bringing everyone to a new rulebook is what a release does."""
    another = default_text().replace("each: 8", "each: 9").replace("at_most: 40", "at_most: 90")
    assert another != default_text()
    await tamper(scored, insert(rulebooks).values(version="next", document=another))
    assert (await rebuild(scored).everyone()).different == 0


async def shifted_ledger(product: Product) -> tuple[str, str]:
    row = await row_of(product, "u1")
    rows_ = packed_ledger.unpack([row.ledger])
    rows_.count[0] += 1
    packed = packed_ledger.pack(rows_, packed_ledger.fold_version_of(row.ledger))[0]
    await tamper(product, update(customers).where(customers.c.id == row.id).values(ledger=packed))
    return "customers.ledger", "1 of "


async def lost_ledger(product: Product) -> tuple[str, str]:
    row = await row_of(product, "u1")
    await tamper(product, update(customers).where(customers.c.id == row.id).values(ledger=b"\x07no ledger"))
    return "customers.ledger", "cannot be read"


async def other_attributes(product: Product) -> tuple[str, str]:
    """One in the clear and one that is sealed; what is sealed again with the same value is no difference."""
    row = await row_of(product, "u1")
    held = attributes.unpack(row.attributes)
    name = product.vault.open(held["name"].value, context=b"name")
    held["name"] = held["name"]._replace(value=product.vault.seal(name, context=b"name"))
    held["region"] = held["region"]._replace(value="CN-99")
    packed = attributes.pack(held)
    await tamper(product, update(customers).where(customers.c.id == row.id).values(attributes=packed))
    return "customers.attributes", "region"


async def other_first_seen(product: Product) -> tuple[str, str]:
    row = await row_of(product, "u1")
    later = "UPDATE customers SET first_seen = first_seen - interval '3 s' WHERE id = :id"
    await tamper(product, later, {"id": row.id})
    return "customers.first_seen", "should be"


async def other_last_seen(product: Product) -> tuple[str, str]:
    row = await row_of(product, "u1")
    await tamper(product, "UPDATE customers SET last_seen = last_seen + interval '3 s' WHERE id = :id", {"id": row.id})
    return "customers.last_seen", "should be"


async def unreadable_result(product: Product) -> tuple[str, str]:
    row = await row_of(product, "u1")
    await tamper(product, update(customers).where(customers.c.id == row.id).values(result=b"short"))
    return "customers.result", "cannot be read"


async def result_without_meaning(product: Product) -> tuple[str, str]:
    row = await row_of(product, "u1")
    await tamper(product, update(customers).where(customers.c.id == row.id).values(result=b"\xff" * len(row.result)))
    return "customers.result", "tier"


async def other_facets(product: Product) -> tuple[str, str]:
    row = await row_of(product, "u1")
    facets = customer_facets.c
    wrong = update(customer_facets).where(facets.customer_id == row.id).values(tags=b"")
    await tamper(product, wrong)
    return "customer_facets.*", "tags"


async def other_measures(product: Product) -> tuple[str, str]:
    row = await row_of(product, "u1")
    facets = customer_facets.c
    await tamper(product, update(customer_facets).where(facets.customer_id == row.id).values(orders=99, score=-1))
    return "customer_facets.*", "score, orders"


async def no_facets(product: Product) -> tuple[str, str]:
    row = await row_of(product, "u1")
    await tamper(product, "DELETE FROM customer_facets WHERE customer_id = :id", {"id": row.id})
    return "customer_facets.*", "missing"


@pytest.mark.parametrize(
    "damage",
    [
        shifted_ledger,
        lost_ledger,
        other_attributes,
        other_first_seen,
        other_last_seen,
        unreadable_result,
        result_without_meaning,
        other_facets,
        other_measures,
        no_facets,
    ],
)
async def test_what_was_tampered_with_is_named_and_repaired(product: Product, damage: Any) -> None:
    await product.append(
        purchase(1, "99.00", attributes={"region": "CN-31", "name": "王小明"}),
        page_view(2),
        page_view(3, identifiers={"user_id": "u2"}),
    )
    await product.score()
    before, row = await views(product.engine, product.vault), await row_of(product, "u1")
    part, detail = await damage(product)

    dry = await rebuild(product, repair=False).everyone()
    assert (dry.different, dry.repaired, parts_of(dry)) == (1, 0, {part: 1})
    report = await rebuild(product).everyone()
    assert (report.different, report.repaired, parts_of(report)) == (1, 1, {part: 1})
    [found] = report.differences
    assert (found.customer_id, f"{found.table}.{found.part}", found.repaired) == (public_id(row.id), part, True)
    assert detail in found.detail
    assert "王" not in found.detail

    assert (await rebuild(product).everyone()).different == 0
    assert await views(product.engine, product.vault) == before
    assert (await row_of(product, "u1")).version == row.version + 1


async def test_a_repaired_classification_is_a_change_that_subscribers_learn(product: Product) -> None:
    await product.append(*(purchase(number, "5000.00") for number in range(6)))
    await product.score()
    await product.relay()
    row, view = await row_of(product, "u1"), await product.view("user_id", "u1")
    async with product.engine.connect() as connection:
        rulebook = await Rulebooks().get(connection, row.rulebook_id)
    result = np.frombuffer(row.result, rulebook.result).copy()
    result["tier"] = rulebook.tier_names.index("E")
    await tamper(product, update(customers).where(customers.c.id == row.id).values(result=result.tobytes()))
    told = len(await product.published(topics.TIER_CHANGES))

    report = await rebuild(product).everyone()
    assert [one.detail for one in report.differences] == ["tier"]
    await product.relay()
    _, data = (await product.published(topics.TIER_CHANGES))[told]
    assert (data["from"], data["to"]) == ("E", view["tier"]["grade"])
    assert data["cause"] == {"kind": "release"}
    assert data["sequence"] == row.sequence + 1
    assert (await row_of(product, "u1")).classified_at == row.classified_at
    [review] = await rows(product, reviews)
    assert review.due <= datetime.now(UTC)  # the sweep brings it to today

    await tamper(product, update(customers).where(customers.c.id == row.id).values(result=result.tobytes()))
    await rebuild(product, quiet=True).everyone()
    await product.relay()
    assert len(await product.published(topics.TIER_CHANGES)) == told + 1
    assert await product.count(changes) == row.sequence + 2


async def test_customers_without_readable_interactions_are_named_and_left_alone(product: Product) -> None:
    await product.append(*(page_view(number, identifiers={"user_id": f"u{number}"}) for number in (1, 2, 3)))
    await product.score()
    gone, broken = await row_of(product, "u1"), await row_of(product, "u2")
    await tamper(product, "DELETE FROM interactions WHERE customer_id = :id", {"id": gone.id})
    await tamper(product, "UPDATE interactions SET body = '\\x93' WHERE customer_id = :id", {"id": broken.id})
    before = await rows(product, customers)
    report = await rebuild(product).everyone()
    assert (report.customers, report.different, report.repaired) == (3, 2, 0)
    assert {(one.customer_id, one.part, one.repaired) for one in report.differences} == {
        (public_id(gone.id), "*", False),
        (public_id(broken.id), "body", False),
    }
    assert await rows(product, customers) == before


async def test_one_customer_alone_by_its_id_or_by_one_that_was_merged_into_it(product: Product) -> None:
    await product.append(page_view(1), page_view(2, identifiers={"user_id": "u2"}))
    await product.append(page_view(3, identifiers={"user_id": "u3"}))
    await product.score()
    ids = {name: (await row_of(product, name)).id for name in ("u1", "u2", "u3")}
    await product.append(page_view(4, identifiers={"user_id": "u1", "email": "e@example.com"}))
    await product.score()
    await product.append(page_view(5, identifiers={"user_id": "u2", "email": "e@example.com"}))
    await product.score()
    await tamper(product, "UPDATE customers SET last_seen = now() + interval '1 day' WHERE merged_into IS NULL")
    for name in ("u1", "u2"):
        report = await rebuild(product, repair=False).one(ids[name])
        assert (report.customers, report.interactions, report.different) == (1, 4, 1)
        assert report.differences[0].customer_id == public_id((await row_of(product, "u1")).id)
    assert (await rebuild(product).one(ids["u1"])).repaired == 1
    assert (await rebuild(product, repair=False).one(ids["u1"])).different == 0
    assert (await rebuild(product, repair=False).one(ids["u3"])).different == 1


async def test_an_unknown_customer_is_an_error_that_names_it(product: Product) -> None:
    unknown = public_id(12_345)
    with pytest.raises(NotFound, match=unknown):
        await rebuild(product).one(12_345)


async def test_nothing_is_lost_or_found_different_while_scoring_goes_on(scored: Product) -> None:
    """Workers fold and merge the same customers all the time; in the second half some are damaged, too."""
    given = [
        msgspec.structs.replace(one, source="live")
        for one in history(random.Random(6), customers=40, interactions=1_500)
    ]
    small = scored.settings.model_copy(update={"scoring_batch_max": 20})
    members = [worker(scored.engine, scored.stream, scored.vault, small) for _ in range(2)]
    running = [asyncio.create_task(member.run()) for member in members]
    try:
        for number in range(10):
            await scored.append(*given[150 * number : 150 * (number + 1)])
            if number < 5:
                assert (await rebuild(scored).everyone()).different == 0
            else:
                await tamper(scored, LOSE_ONE, {"ledger": NO_ROWS, "number": number})
                await rebuild(scored).everyone()
    finally:
        for member in members:
            member.stop()
        await asyncio.gather(*running)
    await scored.score()
    await rebuild(scored).everyone()
    last = await rebuild(scored).everyone()
    assert (last.interactions, last.different) == (2_000, 0)
    assert sum(view["interactions"] for view in await views(scored.engine, scored.vault)) == 2_000


async def test_the_command_says_what_differs_and_its_status_whether_something_did(scored: Product) -> None:
    done = await tierwise(scored.settings, "rebuild")
    assert (done.status, done.stderr) == (0, "")
    assert "from interactions: 500" in done.stdout
    row = await row_of(scored, "u1")
    await tamper(scored, "UPDATE customers SET ledger = :ledger WHERE id = :id", {"ledger": NO_ROWS, "id": row.id})

    dry = await tierwise(scored.settings, "rebuild", "--dry-run", "--json")
    report = json.loads(dry.stdout)
    assert (dry.status, report["different"], report["repaired"]) == (1, 1, 0)
    assert report["parts"] == {"customers.ledger": 1}
    assert report["differences"][0]["customer_id"] == public_id(row.id)
    repaired = await tierwise(scored.settings, "rebuild", "--customer", public_id(row.id))
    assert repaired.status == 1
    assert public_id(row.id) in repaired.stdout
    assert "Customers that differed: 1, repaired: 1 (customers.ledger: 1)" in repaired.stdout
    assert (await tierwise(scored.settings, "rebuild", "--customer", public_id(row.id), "--json")).status == 0


async def test_the_command_refuses_what_is_no_customer(product: Product) -> None:
    assert CliRunner().invoke(build(), ["rebuild", "--customer", "nobody"]).exit_code == 2
    done = await tierwise(product.settings, "rebuild", "--customer", public_id(12_345))
    assert (done.status, done.stderr) == (1, f"tierwise: there is no customer {public_id(12_345)}\n")
