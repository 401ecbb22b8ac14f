"""Splits, blocks and erasures as somebody with a key asks for them, through the log into what is answered then."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.live import Ear, listening_api
from tests.support.product import Product, page_view, purchase
from tests.support.reader import bearer, key, reading
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream

Client = httpx.AsyncClient
LI, WANG = ("user_id", "li"), ("email", "wang@example.com")
SCOPES = ("write", "admin", "profiles:read", "timeline:read")


@pytest.fixture
async def product(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Product]:
    """With two customers, who were merged by an interaction."""
    async with open_stream(settings, engine, vault) as stream:
        product = Product(engine, stream, vault, settings)
        await product.append(page_view(1, identifiers=dict([LI])))
        await product.score()
        await product.append(page_view(2, identifiers=dict([WANG]), properties={"path": "/wang"}))
        await product.score()
        yield product


@pytest.fixture
async def client(product: Product) -> AsyncIterator[Client]:
    async with reading(product.settings, await key(product.engine, product.vault, *SCOPES)) as client:
        yield client


async def id_of(product: Product, who: tuple[str, str]) -> str:
    return str((await product.view(*who))["customer_id"])


async def tied(product: Product) -> tuple[str, str]:
    """The ids of the two, before they were merged."""
    ids = await id_of(product, LI), await id_of(product, WANG)
    await product.append(page_view(3, identifiers=dict([LI, WANG])))
    await product.score()
    return ids


async def said(product: Product, client: Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post(path, json=body)
    assert answer.status_code == 202, answer.text
    await product.score()
    return dict(answer.json())


async def refused(client: Client, path: str, body: dict[str, Any]) -> tuple[int, str, str | None]:
    answer = await client.post(path, json=body)
    return answer.status_code, answer.json()["code"], answer.json().get("field")


async def test_a_merged_id_is_split_off_and_answers_for_itself_again(product: Product, client: Client) -> None:
    winner, loser = await tied(product)
    assert (await client.get(f"/v1/customers/{loser}")).json()["merged_into"] == winner
    split = {"merged": loser, "reason": "two people", "id": "s1"}
    assert await said(product, client, f"/v1/customers/{winner}/split", split) == {
        "id": "test:s1",
        "customer_id": winner,
    }
    views = [(await client.get(f"/v1/customers/{one}")).json() for one in (winner, loser)]
    assert [(view["customer_id"], view["interactions"]) for view in views] == [(winner, 2), (loser, 1)]
    timeline = (await client.get(f"/v1/customers/{winner}/timeline")).json()["items"]
    assert [one["id"] for one in timeline] == ["i3", "i1"]
    assert [one["kind"] for one in timeline[0]["identifiers"]] == ["user_id", "email"]
    past = (await client.get(f"/v1/customers/{winner}?as_of=2026-11-21T00:00:00Z")).json()
    assert [one["kind"] for one in past["identifiers"]] == ["user_id"]
    [change] = (await client.get(f"/v1/customers/{winner}/changes?aspect=split")).json()["items"]
    assert (change["split"], change["by"]) == (
        [loser],
        {"kind": "split", "interaction": "test:s1", "source": "profile-api"},
    )
    again = split | {"id": "s2"}
    assert await refused(client, f"/v1/customers/{winner}/split", again) == (400, "invalid_body", "merged")
    repeat = await client.post(f"/v1/customers/{loser}/split", json=split)  # whose answer was lost
    assert (repeat.status_code, repeat.json()) == (202, {"id": "test:s1", "customer_id": winner})
    await said(product, client, "/v1/merges", {"customers": [winner, loser]})
    assert (await client.get(f"/v1/customers/{loser}")).json()["customer_id"] == winner


async def test_identifiers_are_split_off_by_name(product: Product, client: Client) -> None:
    winner, loser = await tied(product)
    path = f"/v1/customers/{winner}/split"
    wang = {"kind": "email", "value": "Wang@Example.com"}
    li = {"kind": "user_id", "value": "li"}
    for body, field in (
        ({}, "merged"),
        ({"merged": loser, "identifiers": [wang]}, "merged"),
        ({"merged": winner}, "merged"),
        ({"merged": "nobody"}, "merged"),
        ({"identifiers": [wang, li]}, "identifiers"),
        ({"identifiers": [{"kind": "email", "value": "other@example.com"}]}, "identifiers[0]"),
        ({"identifiers": [wang, {"kind": "email", "value": "x"}]}, "identifiers[1]"),
        ({"identifiers": [wang], "reason": "a\0b"}, "reason"),
        ({"identifiers": [wang], "id": "a\0b"}, "id"),
    ):
        assert await refused(client, path, body) == (400, "invalid_body", field)
    await said(product, client, path, {"identifiers": [wang]})
    assert (await client.get(f"/v1/customers/{loser}")).json()["interactions"] == 1


async def test_a_shared_mailbox_is_blocked_and_unblocked(product: Product, client: Client) -> None:
    winner, _ = await tied(product)
    block = {"kind": "email", "value": WANG[1], "reason": "a mailbox", "id": "b1"}
    assert await said(product, client, "/v1/identifiers/block", block) == {"id": "test:b1"}
    mailbox = await id_of(product, WANG)
    assert (await id_of(product, LI), mailbox == winner) == (winner, False)
    assert await refused(client, f"/v1/customers/{mailbox}/erase", {}) == (409, "blocked_identifier", None)
    assert await refused(client, "/v1/identifiers/block", block | {"value": "x"}) == (400, "invalid_body", "value")
    assert await refused(client, "/v1/identifiers/block", block | {"kind": "mail"}) == (400, "invalid_body", "kind")
    [ruled] = (await client.get("/v1/rulings?ruling=block")).json()["items"]
    assert ruled["at"].endswith("Z")
    del ruled["at"]
    assert ruled == {
        "id": "test:b1",
        "ruling": "block",
        "author": "test",
        "reason": "a mailbox",
        "customer_id": None,
        "identifier": {"kind": "email", "value": "w***@example.com"},
    }
    await said(product, client, "/v1/identifiers/unblock", block | {"id": "b2"})
    assert await id_of(product, WANG) == winner


async def test_who_was_erased_is_answered_with_410_and_nothing_of_them_is_left(
    product: Product, client: Client
) -> None:
    winner, loser = await tied(product)
    erase = {"reason": "asked for it", "id": "e1"}
    assert await said(product, client, f"/v1/customers/{loser}/erase", erase) == {
        "id": "test:e1",
        "customer_id": winner,
    }
    for path in (winner, loser, f"{winner}/timeline", f"{winner}/changes", f"{winner}/why", f"{loser}/history",
                 f"{winner}/live", f"{winner}/overrides"):  # fmt: skip
        answer = await client.get(f"/v1/customers/{path}")
        assert (answer.status_code, answer.json()["code"]) == (410, "erased"), path
    assert await refused(client, f"/v1/customers/{winner}/erase", {}) == (410, "erased", None)
    repeat = await client.post(f"/v1/customers/{loser}/erase", json=erase)
    assert (repeat.status_code, repeat.json()) == (202, {"id": "test:e1", "customer_id": winner})
    assert (await client.get("/v1/customers/by/email/wang@example.com")).status_code == 404
    page = (await client.get(f"/v1/rulings?customer_id={winner}&limit=1")).json()
    assert ([one["id"] for one in page["items"]], page["next_cursor"]) == (["test:e1"], None)
    holding = "identifiers", "interactions", "customers", "customer_facets", "reviews", "mentions", "segment_members"
    async with product.engine.connect() as connection:
        for table in holding:
            assert (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one() == 0, table
        kept = await connection.execute(text("SELECT interaction, reasons FROM changes WHERE aspect <> 'merge'"))
        assert {row[:2] for row in kept} <= {(None, b""), ("test:e1", b"")}


async def test_ruling_needs_the_scope_write_and_reading_rulings_admin(product: Product) -> None:
    path = f"/v1/customers/{await id_of(product, LI)}"
    async with reading(product.settings, await key(product.engine, product.vault, "profiles:read")) as client:
        for below, body in (
            (f"{path}/split", {"merged": "c_x"}),
            (f"{path}/erase", {}),
            ("/v1/identifiers/block", {"kind": "email", "value": "a@b.co"}),
            ("/v1/identifiers/unblock", {"kind": "email", "value": "a@b.co"}),
        ):
            answer = await client.post(below, json=body)
            assert (answer.status_code, answer.json()["scope"]) == (403, "write")
        answer = await client.get("/v1/rulings")
        assert (answer.status_code, answer.json()["scope"]) == (403, "admin")


async def test_who_listens_to_one_of_two_who_are_split_hears_that_and_then_only_theirs(product: Product) -> None:
    winner, loser = await tied(product)
    headers = bearer(await key(product.engine, product.vault, *SCOPES))
    async with listening_api(product.settings) as address:
        live = f"{address}/v1/customers"
        async with (
            Ear.open(f"{live}/{winner}/live", headers) as of_winner,
            Ear.open(f"{live}/{loser}/live", headers) as of_loser,
            Client(base_url=address, headers=headers) as client,
        ):
            await said(product, client, f"/v1/customers/{winner}/split", {"merged": loser})
            await product.append(
                *(purchase(number, "900.00", identifiers=dict([who])) for number, who in enumerate((LI, WANG), 7))
            )
            await product.score()
            for ear, who in ((of_winner, winner), (of_loser, loser)):
                split, *others = [heard.data for heard in await ear.take(4)]
                assert (split["customer_id"], split["split"]) == (winner, [loser])
                assert {one["customer_id"] for one in others} == {who}
