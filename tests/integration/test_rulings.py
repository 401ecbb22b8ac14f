"""What people rule of who is who, from the log into customers: taken apart, blocked, erased, in any order."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.product import NOW, Product, history, page_view, purchase
from tests.support.scoring import keeping_up, views
from tests.support.scoring import scored as caught_up
from tierwise.db.tables import (
    changes,
    customers,
    erased_customers,
    identifiers,
    interaction_keys,
    interactions,
    mentions,
    rulings,
)
from tierwise.domain.customer_id import public_id
from tierwise.domain.interaction import Interaction
from tierwise.domain.interaction import encode as encode_interaction
from tierwise.domain.ruling import Named, Ruling, encode
from tierwise.domain.source import BY_HAND
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise.stream.port import Outgoing
from tierwise.stream.topics import ERASURES, INTERACTIONS, MERGES
from tierwise_scoring.limit import TIES_MAX
from tierwise_scoring.rebuild import Rebuild

SAID = NOW + timedelta(hours=1)
INFO = ("email", "info@example.com")


@pytest.fixture
async def product(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Product]:
    """Scored as it comes."""
    async with open_stream(settings, engine, vault) as stream, keeping_up(engine, stream, vault, settings, workers=2):
        yield Product(engine, stream, vault, settings)


def ruling(product: Product, kind: Any, *named: tuple[str, str], at: datetime = SAID, **fields: Any) -> Ruling:
    """`others`: of a split."""
    hashes = [product.vault.identifier_hash(*one).hex() for one in named]
    others = tuple(product.vault.identifier_hash(*one).hex() for one in fields.pop("others", ()))
    values: dict[str, Any] = {"id": f"li:{kind}-{hashes[0]}-{at:%H%M}", "author": "li"} | fields
    if kind in ("block", "unblock"):
        values["named"] = Named(*named[0])
    return Ruling(ruling=kind, time=at, identifiers=tuple(hashes), others=others, **values)


async def append(product: Product, given: Sequence[Interaction | Ruling]) -> None:
    records = [
        Outgoing(bytes.fromhex(one.identifiers[0]), encode(one))
        if isinstance(one, Ruling)
        else Outgoing(product.vault.identifier_hash(*one.named[0]), encode_interaction(one))
        for one in given
    ]
    await product.stream.append(INTERACTIONS, records)
    await caught_up(product.engine, product.stream)


async def scored(product: Product, *given: Interaction | Ruling) -> None:
    """Each by itself, in this order."""
    for one in given:
        await append(product, [one])


async def agrees_with_a_rebuild(product: Product) -> None:
    report = await Rebuild(product.engine, product.vault, repair=False).everyone()
    assert (report.different, report.interactions) == (0, await product.count(interactions))


async def told(product: Product, *aspects: str) -> list[tuple[str, str, str | None]]:
    """(aspect, customer, the other one) of what was recorded of these aspects, in order."""
    async with product.engine.connect() as connection:
        rows = await connection.execute(select(changes).where(changes.c.aspect.in_(aspects)).order_by(changes.c.id))
        return [
            (row.aspect, public_id(row.customer_id), None if row.merged is None else public_id(row.merged))
            for row in rows
        ]


async def gapless(product: Product) -> None:
    async with product.engine.connect() as connection:
        rows = await connection.execute(
            text("SELECT customer_id, min(sequence), max(sequence), count(*) FROM changes GROUP BY 1")
        )
        for _, first, last, count in rows:
            assert (first, last) == (1, count)


def li(number: int, **fields: Any) -> Interaction:
    return purchase(number, "100.00", **({"identifiers": {"user_id": "li"}} | fields))


def wang(number: int, **fields: Any) -> Interaction:
    return purchase(number, "7.00", **({"identifiers": {"email": "wang@example.com"}} | fields))


TIED = page_view(9, identifiers={"user_id": "li", "email": "wang@example.com"})


async def test_a_split_gives_back_who_was_merged_as_if_the_link_had_never_been(product: Product) -> None:
    await scored(product, li(1), wang(2))
    both = ("user_id", "li"), ("email", "wang@example.com")
    ids = [(await product.view(*who))["customer_id"] for who in both]
    await scored(product, TIED, li(3), wang(4))
    [one] = await views(product.engine, product.vault)
    assert one["interactions"] == 5
    await scored(product, ruling(product, "split", both[0], others=both[1:]))
    left, right = [await product.view(*who) for who in both]
    assert [view["customer_id"] for view in (left, right)] == ids
    assert [view["interactions"] for view in (left, right)] == [3, 2]
    assert [view["orders"]["amount"] for view in (left, right)] == ["200.00", "14.00"]
    assert await told(product, "merge", "split") == [("merge", *ids), ("split", *ids)]
    await agrees_with_a_rebuild(product)
    await gapless(product)
    await product.relay()
    [_, (headers, data)] = await product.published(MERGES)
    assert headers["ce_type"] == "tierwise.customer.merged.v1"
    assert (data["customer_id"], data["split"], data["by"]["kind"]) == (ids[0], ids[1:], "split")
    assert data["by"]["source"] == BY_HAND


async def test_what_sources_go_on_saying_does_not_tie_again_what_was_split_but_a_person_does(product: Product) -> None:
    both = ("user_id", "li"), ("email", "wang@example.com")
    await scored(product, TIED, wang(2))
    await scored(product, ruling(product, "split", both[0], others=both[1:]), msgspec.structs.replace(TIED, id="again"))
    left, right = [await product.view(*who) for who in both]
    assert (left["interactions"], right["interactions"]) == (2, 1)
    merge = page_view(5, source=BY_HAND, channel="crm", type="profile_update", same_as=(both[1],),
                      identifiers=dict(both[:1]), time=SAID + timedelta(minutes=1))  # fmt: skip
    await scored(product, merge)
    [one] = await views(product.engine, product.vault)
    assert one["interactions"] == 3
    await agrees_with_a_rebuild(product)


async def test_a_blocked_identifier_leaves_the_graph_and_comes_back_when_it_is_unblocked(product: Product) -> None:
    people = [page_view(number, identifiers={"user_id": f"u{number}", "email": INFO[1]}) for number in range(3)]
    await scored(product, *people, page_view(7, identifiers=dict([INFO])))
    assert len(await views(product.engine, product.vault)) == 1
    eldest = (await product.view(*INFO))["customer_id"]
    await scored(product, ruling(product, "block", INFO))
    apart = await views(product.engine, product.vault)
    assert [view["interactions"] for view in apart] == [1, 1, 1, 1]
    assert (await product.view("user_id", "u0"))["customer_id"] == eldest
    await scored(product, page_view(8, identifiers={"user_id": "u8", "email": INFO[1]}))
    assert (await product.view("user_id", "u8"))["interactions"] == 1
    assert await product.count(mentions) == 4
    await agrees_with_a_rebuild(product)
    await scored(product, ruling(product, "unblock", INFO, at=SAID + timedelta(hours=1)))
    [again] = await views(product.engine, product.vault)
    assert (again["interactions"], len(again["identifiers"])) == (5, 5)
    assert await product.count(mentions) == 0
    await agrees_with_a_rebuild(product)
    await gapless(product)


async def test_who_was_erased_is_gone_and_neither_a_repeat_nor_what_comes_late_brings_them_back(
    product: Product,
) -> None:
    known = li(1, identifiers={"user_id": "li", "email": "li@example.com"}, attributes={"name": "Li"})
    await scored(product, known, wang(2))
    customer = (await product.view("user_id", "li"))["customer_id"]
    everything = ("user_id", "li"), ("email", "li@example.com")
    await scored(product, ruling(product, "erase", *everything))
    late = li(3, identifiers={"email": "li@example.com"})
    await scored(product, known, late, msgspec.structs.replace(known, id="again"))
    [left] = await views(product.engine, product.vault)
    assert left["identifiers"] == [{"kind": "email", "value": "wang@example.com"}]
    for table, count in ((customers, 1), (identifiers, 1), (interactions, 1), (erased_customers, 1)):
        assert await product.count(table) == count, table.name
    assert await product.count(interaction_keys) == 4
    async with product.engine.connect() as connection:
        of_them = changes.c.customer_id == select(erased_customers.c.customer_id).scalar_subquery()
        rows = (await connection.execute(select(changes).where(of_them).order_by(changes.c.sequence))).all()
    assert {row.interaction for row in rows[:-1]} == {None}
    assert rows[-1].aspect == "erase"
    await product.relay()
    [(headers, data)] = await product.published(ERASURES)
    assert headers["ce_type"] == "tierwise.customer.erased.v1"
    assert (data["customer_id"], data["by"]["kind"]) == (customer, "erase")
    assert data["by"]["interaction"].startswith("li:erase")
    await scored(product, li(4, time=SAID + timedelta(days=1), received=SAID + timedelta(days=1)))
    new = await product.view("user_id", "li")
    assert (new["interactions"], new["customer_id"] == customer) == (1, False)
    await agrees_with_a_rebuild(product)
    await gapless(product)


async def test_an_identifier_that_ties_more_people_than_the_limit_blocks_itself_until_a_person_unblocks_it(
    product: Product,
) -> None:
    people = [page_view(number, identifiers={"user_id": f"u{number}", "email": INFO[1]}) for number in range(TIES_MAX)]
    await append(product, people)
    assert len(await views(product.engine, product.vault)) == 1
    await append(product, [page_view(900, identifiers={"user_id": "u900", "email": INFO[1]})])
    async with asyncio.timeout(30):
        while await product.count(customers) == 1:  # noqa: ASYNC110  (at first they were all one)
            await asyncio.sleep(0.1)
    apart = await views(product.engine, product.vault)
    assert [view["interactions"] for view in apart] == [1] * (TIES_MAX + 1)
    async with product.engine.connect() as connection:
        ruled = (await connection.execute(select(rulings.c.id, rulings.c.author, rulings.c.kind))).one()
    assert ruled == (f"limit:{product.vault.identifier_hash(*INFO).hex()}", "limit", "email")
    await agrees_with_a_rebuild(product)
    unblock = ruling(product, "unblock", INFO)
    again = page_view(901, identifiers={"user_id": "u901", "email": INFO[1]})
    await scored(product, unblock, again)
    [one] = await views(product.engine, product.vault)
    assert one["interactions"] == TIES_MAX + 2


async def test_activity_does_not_count_who_was_erased(product: Product) -> None:
    await scored(product, li(1), wang(2), ruling(product, "erase", ("user_id", "li")))
    async with product.engine.connect() as connection:
        added = "SELECT sum(count), sum(amount) FROM activity_news"
        assert tuple((await connection.execute(text(added))).one()) == (1, 70_000)


_STATE = """customers, customer_facets, reviews, identifiers, interactions, interaction_keys, changes, rulings,
            ruled_identifiers, mentions, erased_customers"""


async def test_the_same_log_ends_with_the_same_customers_in_any_order(product: Product) -> None:
    rng = random.Random(1)
    happened: list[Interaction | Ruling] = [
        msgspec.structs.replace(one, attributes={}) for one in history(rng, customers=25, interactions=120)
    ]
    users = [("user_id", f"u{number}") for number in range(25)]
    emails = [("email", f"e{number}@example.com") for number in range(25)]
    devices = [("anonymous_id", f"a{number}") for number in range(12)]
    for number in range(4):
        some = rng.sample([*users, *emails, *devices], 12)
        happened.append(ruling(product, "split", *some[:6], others=some[6:], id=f"split-{number}"))
        word, minute = rng.choice(["block", "block", "unblock"]), SAID + timedelta(minutes=rng.randrange(9))
        happened.append(ruling(product, word, rng.choice(devices), at=minute, id=f"block-{number}"))
        merged = rng.sample(users, 2)
        happened.append(
            page_view(900 + number, source=BY_HAND, channel="crm", type="profile_update", identifiers=dict(merged[:1]),
                      same_as=(merged[1],), time=SAID + timedelta(minutes=rng.randrange(-5, 9)))
        )  # fmt: skip
    for number in range(2):
        erased = rng.sample([*users, *emails], 3)
        happened.append(
            ruling(product, "erase", *erased, at=NOW - timedelta(days=rng.randrange(200)), id=f"e-{number}")
        )
    found = []
    for _ in range(2):
        async with product.engine.begin() as connection:
            await connection.execute(text(f"TRUNCATE {_STATE}"))
        rng.shuffle(happened)
        for start in range(0, len(happened), 40):
            await append(product, happened[start : start + 40])
        await agrees_with_a_rebuild(product)
        await gapless(product)
        found.append(await views(product.engine, product.vault))
    assert found[0] == found[1]
    assert len(found[0]) > 5
