"""What people write back through the profile API, through the log and scoring into the view."""

import random
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.ingest import appended
from tests.support.kafka import GIVEN
from tests.support.product import Product, page_view
from tests.support.published import own_topics
from tests.support.scoring import views
from tierwise.db.migrate import migrate
from tierwise.db.tables import interactions
from tierwise.domain.interaction import Interaction, content_of
from tierwise.security.keys import create_read_key
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise_profile_api import entries
from tierwise_profile_api.app import create_app

Client = httpx.AsyncClient


@pytest.fixture
async def product(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Product]:
    """With two customers who are one person: u1, who has an e-mail address too, and another address."""
    async with open_stream(settings, engine, vault) as stream:
        product = Product(engine, stream, vault, settings)
        await two_customers(product)
        yield product


async def two_customers(product: Product) -> None:
    await product.append(page_view(1, identifiers={"user_id": "u1", "email": "li@example.com"}))
    await product.score()  # so that this one is the older
    await product.append(page_view(2, identifiers={"email": "li@work.example"}))
    await product.score()


@asynccontextmanager
async def serving(product: Product, name: str, *scopes: str) -> AsyncIterator[Client]:
    async with product.engine.begin() as connection:
        key = await create_read_key(connection, product.vault, name=name, scopes=scopes)
    app = create_app(product.settings)
    async with (
        app.router.lifespan_context(app),
        Client(
            transport=httpx.ASGITransport(app),
            base_url="http://profile-api",
            headers={"Authorization": f"Bearer {key.secret}"},
        ) as client,
    ):
        yield client


@pytest.fixture
async def client(product: Product) -> AsyncIterator[Client]:
    async with serving(product, "li", "write", "profiles:read", "timeline:read") as client:
        yield client


async def id_of(product: Product, kind: str = "user_id", value: str = "u1") -> str:
    return str((await product.view(kind, value))["customer_id"])


async def accepted(sent: Awaitable[httpx.Response]) -> dict[str, Any]:
    answer = await sent
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


async def test_an_override_stands_over_what_is_computed_until_it_is_taken_back(
    product: Product, client: Client
) -> None:
    customer = await id_of(product)
    path = f"/v1/customers/{customer}/overrides"
    computed = (await client.get(f"/v1/customers/{customer}")).json()["tier"]["grade"]
    wanted = {"aspect": "tier", "value": "A", "reason": "a frame contract", "expires": "2100-01-01T00:00:00+08:00"}
    assert await accepted(client.post(path, json=wanted | {"id": "ov-1"})) == {
        "id": "li:ov-1",
        "customer_id": customer,
    }
    await product.score()
    view = (await client.get(f"/v1/customers/{customer}")).json()
    assert view["tier"]["grade"] == "A"
    [held] = view["overrides"]
    assert held == {
        "aspect": "tier",
        "value": "A",
        "computed": computed,
        "reason": "a frame contract",
        "author": "li",
        "expires": "2099-12-31T16:00:00Z",
    }
    assert (await client.get(path)).json() == {"items": [held], "next_cursor": None}

    await accepted(client.delete(f"{path}/tier", params={"reason": "it ended"}))
    await product.score()
    assert (await client.get(path)).json()["items"] == []
    view = (await client.get(f"/v1/customers/{customer}")).json()
    assert (view["tier"]["grade"], view["interactions"]) == (computed, 1)


async def test_the_same_id_again_changes_nothing_and_another_author_s_is_another(
    product: Product, client: Client
) -> None:
    path = f"/v1/customers/{await id_of(product)}/notes"
    for text_ in ("asked for a quote", "asked for a quote"):
        assert (await accepted(client.post(path, json={"text": text_, "id": "1"})))["id"] == "li:1"
    async with serving(product, "wang", "write") as other:
        await accepted(other.post(path, json={"text": "was not at home", "id": "1"}))
    await product.score()
    timeline = (await client.get(path.replace("notes", "timeline"), params={"type": "note"})).json()["items"]
    assert [(one["id"], one["source"], one["properties"]) for one in timeline] == [
        ("wang:1", "profile-api", {"author": "wang", "text": "was not at home"}),
        ("li:1", "profile-api", {"author": "li", "text": "asked for a quote"}),
    ]


async def test_rules_look_at_what_a_note_says(product: Product, client: Client) -> None:
    customer = await id_of(product)
    before = await product.view("user_id", "u1")
    note = {"text": "wants an offer", "properties": {"need": "quote", "author": "somebody else"}}
    await accepted(client.post(f"/v1/customers/{customer}/notes", json=note))
    await product.score()
    after = await product.view("user_id", "u1")
    assert after["intent"]["score"] > before["intent"]["score"]
    [entry] = (await client.get(f"/v1/customers/{customer}/timeline?type=note")).json()["items"]
    assert entry["properties"]["author"] == "li"


async def test_a_correction_sets_and_unsets_attributes_in_their_normal_form(product: Product, client: Client) -> None:
    path = f"/v1/customers/{await id_of(product)}/attributes"
    await accepted(client.post(path, json={"attributes": {"region": "上海", "industry": "education"}}))
    await product.score()
    assert (await product.view("user_id", "u1"))["attributes"]["region"] == "CN-31"
    await accepted(client.post(path, json={"attributes": {"industry": None}, "reason": "a mistake"}))
    await product.score()
    view = await product.view("user_id", "u1")
    assert "industry" not in view["attributes"]
    assert view["interactions"] == 1


async def test_two_customers_are_one_from_a_merge_on_though_they_have_the_same_kind_of_identifier(
    product: Product, client: Client
) -> None:
    older, younger = await id_of(product), await id_of(product, "email", "li@work.example")
    for _ in range(2):  # repeating is safe before and after it is scored
        merge = {"customers": [younger, older], "reason": "two addresses", "id": "m1"}
        assert await accepted(client.post("/v1/merges", json=merge)) == {"id": "li:m1", "customer_id": older}
        await product.score()
    view = (await client.get(f"/v1/customers/{younger}")).json()
    assert (view["customer_id"], view["merged_into"], view["interactions"]) == (older, older, 2)
    async with product.engine.connect() as connection:
        written = select(interactions.c.id).where(interactions.c.type == "profile_update")
        assert (await connection.execute(written)).scalars().all() == ["li:m1"]
    await product.relay()
    [(_, merged)] = await product.published("customer.merges")
    assert (merged["customer_id"], merged["merged"], merged["by"]["interaction"]) == (older, [younger], "li:m1")


_STATE = "customers, customer_facets, reviews, identifiers, interactions, interaction_keys, changes"


async def test_the_log_gives_the_same_when_read_again_and_in_any_order(product: Product, client: Client) -> None:
    customer, other = await id_of(product), await id_of(product, "email", "li@work.example")
    path = f"/v1/customers/{customer}"
    for below, body in (
        (f"{path}/overrides", {"aspect": "lifecycle", "value": "loyal", "reason": "for years"}),
        (f"{path}/overrides", {"aspect": "tier", "value": "B", "reason": "a promise"}),
        (f"/v1/customers/{other}/overrides", {"aspect": "tier", "value": "A", "reason": "a frame contract"}),
        (f"{path}/notes", {"text": "a friend", "properties": {"need": "demo"}}),
        (f"{path}/attributes", {"attributes": {"age": 40, "industry": "education"}}),
        (f"/v1/customers/{other}/attributes", {"attributes": {"age": None}}),
        ("/v1/merges", {"customers": [customer, other]}),
    ):
        await accepted(client.post(below, json=body))
    await accepted(client.delete(f"{path}/overrides/lifecycle"))
    await product.score()
    [first] = await views(product.engine, product.vault)
    assert (first["tier"]["grade"], len(first["overrides"]), len(first["identifiers"])) == ("A", 1, 3)

    async with product.engine.begin() as connection:
        await connection.execute(text(f"TRUNCATE {_STATE}, stream_positions"))
    await product.score(workers=2)
    assert await views(product.engine, product.vault) == [first]

    log = await appended(product.settings, product.engine, product.vault)
    for seed in range(4):
        async with product.engine.begin() as connection:
            await connection.execute(text(f"TRUNCATE {_STATE}"))
        shuffled = random.Random(seed).sample(log, len(log))
        await product.append(*shuffled[:4])
        await product.score()
        await product.append(*shuffled[2:])  # some come twice
        await product.score()
        assert await views(product.engine, product.vault) == [first]


async def test_an_entry_names_its_customer_by_one_identifier_and_a_merge_by_one_of_each(
    product: Product, client: Client
) -> None:
    customer, other = await id_of(product), await id_of(product, "email", "li@work.example")
    await accepted(client.post(f"/v1/customers/{customer}/notes", json={"text": "hello"}))
    await accepted(client.post("/v1/merges", json={"customers": [customer, other]}))
    appended_ = await written(product)
    note, merge = sorted(appended_, key=lambda one: one.time)
    assert note.named == [("user_id", "u1")]
    assert merge.named == [("user_id", "u1"), ("email", "li@work.example")]
    assert content_of(merge) != content_of(msgspec.structs.replace(merge, same_as=()))


OVERRIDE = {"aspect": "tier", "value": "A", "reason": "why"}
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("overrides", OVERRIDE | {"aspect": "colour"}, "aspect"),
    ("overrides", OVERRIDE | {"value": "Z"}, "value"),
    ("overrides", OVERRIDE | {"reason": ""}, "reason"),
    ("overrides", OVERRIDE | {"reason": "a\0b"}, "properties.reason"),
    ("overrides", OVERRIDE | {"expires": "2020-01-01T00:00:00Z"}, "expires"),
    ("overrides", OVERRIDE | {"expires": "9999-12-31T23:59:59-12:00"}, "expires"),
    ("overrides", OVERRIDE | {"expires": "2100-01-01T00:00:00"}, "expires"),
    ("overrides", OVERRIDE | {"id": ""}, "id"),
    ("notes", {"text": ""}, "text"),
    ("notes", {"text": "x", "properties": {"amount": "much"}}, "properties.amount"),
    ("notes", {"text": "x", "properties": {"much": 10**30}}, "properties[...]"),
    ("notes", {"text": "x", "properties": {"deep": [1]}}, "properties[...]"),
    ("attributes", {"attributes": {}}, "attributes"),
    ("attributes", {"attributes": {"much": 10**30}}, "attributes.much"),
    ("attributes", {"attributes": {"override.tier": "A"}}, "attributes.override.tier"),
    ("attributes", {"attributes": {"region": {"deep": 1}}}, "attributes.region"),
]


async def test_what_cannot_be_written_is_refused_by_the_field(product: Product, client: Client) -> None:
    customer = await id_of(product)
    for what, body, field in WRONG:
        answer = await client.post(f"/v1/customers/{customer}/{what}", json=body)
        told = (answer.status_code, answer.json()["code"], answer.json().get("field"))
        assert told == (400, "invalid_body", field), answer.text
    same = await client.post("/v1/merges", json={"customers": [customer, customer]})
    assert (same.status_code, same.json()["field"]) == (400, "customers")
    for path in ("overrides/colour", "overrides/tier?why=not"):
        assert (await client.delete(f"/v1/customers/{customer}/{path}")).json()["code"] == "bad_parameter"
    assert await written(product) == []


async def test_a_customer_whom_nobody_knows_cannot_be_written_to(client: Client) -> None:
    nobody = "c_zzzzzzzzzzzzz"
    path = f"/v1/customers/{nobody}"
    for sent in (
        client.post(f"{path}/overrides", json=OVERRIDE),
        client.get(f"{path}/overrides"),
        client.delete(f"{path}/overrides/tier"),
        client.post(f"{path}/notes", json={"text": "x"}),
        client.post(f"{path}/attributes", json={"attributes": {"age": 3}}),
        client.post("/v1/merges", json={"customers": [nobody, nobody[::-1]]}),
    ):
        answer = await sent
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_customer")


async def test_writing_needs_the_scope_write_which_no_browser_token_has(product: Product) -> None:
    path = f"/v1/customers/{await id_of(product)}"
    async with serving(product, "reader", "profiles:read", "admin") as client:
        token = (await client.post("/v1/tokens", json={"customer_id": path.rpartition("/")[2]})).json()["token"]
        for key in (client.headers["Authorization"], f"Bearer {token}"):
            client.headers["Authorization"] = key
            for method, below, body in (
                ("POST", f"{path}/overrides", OVERRIDE),
                ("DELETE", f"{path}/overrides/tier", None),
                ("POST", f"{path}/notes", {"text": "x"}),
                ("POST", f"{path}/attributes", {"attributes": {"age": 3}}),
                ("POST", "/v1/merges", {"customers": ["a", "b"]}),
            ):
                answer = await client.request(method, below, json=body)
                assert (answer.status_code, answer.json()["scope"]) == (403, "write")
            assert (await client.get(f"{path}/overrides")).status_code == 200


async def test_it_is_accepted_only_when_the_log_has_it(
    product: Product, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "APPEND_TIMEOUT_S", 0.3)
    path = f"/v1/customers/{await id_of(product)}/notes"
    note = {"text": "hello", "id": "1"}
    async with product.engine.begin() as connection:
        await connection.execute(text("SELECT FROM stream_heads FOR UPDATE"))  # another appender holds the log
        slow = await client.post(path, json=note)
    assert (slow.status_code, slow.json()["code"]) == (503, "unavailable")
    assert int(slow.headers["retry-after"]) > 0
    await accepted(client.post(path, json=note))
    await product.score()
    assert (await product.view("user_id", "u1"))["interactions"] == 2
    async with product.engine.begin() as connection:
        await connection.execute(text("DELETE FROM stream_topics WHERE name = 'interactions'"))
    away = await client.post(path, json=note)
    assert (away.status_code, away.json()["code"]) == (503, "unavailable")
    assert int(away.headers["retry-after"]) > 0


async def test_it_goes_through_apache_kafka_too(
    request: pytest.FixtureRequest, settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    broker = request.getfixturevalue("kafka")
    servers = GIVEN if broker is None else broker.bootstrap_servers
    on_kafka = settings.model_copy(update={"kafka_bootstrap_servers": servers})
    async with own_topics(str(servers)):
        await migrate(on_kafka, engine)
        async with open_stream(on_kafka, engine, vault) as stream:
            product = Product(engine, stream, vault, on_kafka)
            await two_customers(product)
            older, younger = await id_of(product), await id_of(product, "email", "li@work.example")
            async with serving(product, "li", "write") as client:
                await accepted(client.post(f"/v1/customers/{younger}/overrides", json=OVERRIDE))
                await accepted(client.post("/v1/merges", json={"customers": [older, younger]}))
            await product.score()
            view = await product.view("user_id", "u1")
    assert (view["customer_id"], view["tier"]["grade"], view["interactions"]) == (older, "A", 2)


async def written(product: Product) -> list[Interaction]:
    """What was written back, as the log has it."""
    found = await appended(product.settings, product.engine, product.vault)
    return [one for one in found if one.source == "profile-api"]
