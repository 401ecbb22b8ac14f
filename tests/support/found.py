"""A small population behind a profile API, to be found, counted and exported."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.database import TestServer, test_settings
from tests.support.stored import happened, store_customer
from tierwise.db.engine import open_engine
from tierwise.domain.interaction import Interaction
from tierwise.security.keys import SCOPES, create_read_key
from tierwise.security.personal import open_vault
from tierwise_profile_api.app import create_app

CUSTOMERS = 60
MERGED, WINNER = CUSTOMERS, 1

View = dict[str, Any]


@asynccontextmanager
async def found(postgres: TestServer, directory: Path) -> AsyncIterator[httpx.AsyncClient]:
    """With a key that may do anything."""
    draw = random.Random(3)
    async with postgres.database() as dsn:
        settings = test_settings(database_url=dsn, data_dir=directory)
        async with open_engine(settings) as engine, engine.begin() as connection:
            vault = await open_vault(connection, settings)
            for number in range(CUSTOMERS):
                await store_customer(connection, vault, number, history(draw, number))
            await store_customer(connection, vault, MERGED, history(draw, MERGED), merged_into=WINNER)
            key = await create_read_key(connection, vault, name="test", scopes=SCOPES)
        app = create_app(settings)
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {key.secret}"}
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://profile-api", headers=headers) as client,
        ):
            yield client


def history(draw: random.Random, number: int) -> list[Interaction]:
    """Of one customer: some buy, some look, some do both."""
    identifiers = {"user_id": f"u{number}", "email": f"u{number}@example.com"}
    attributes: dict[str, Any] = {"region": draw.choice(["CN-31", "CN-11", "CN-44"])} if number % 3 else {}
    attributes |= {"name": f"王小明 Ming{number % 2}"} if number % 5 == 0 else {}
    attributes |= {"industry": draw.choice(["education", "finance"]), "owner": draw.choice(["Li", "Wang_1"])}
    first = happened(
        "web",
        "page_view",
        f"2026-0{draw.randint(1, 9)}-01T08:00:{number % 60:02}+00:00",
        identifiers=identifiers,
        attributes=attributes,
        properties={"referrer": draw.choice(["https://www.baidu.com/", "https://weibo.com/"])},
    )
    kinds = [("order", "purchase"), ("email", "clicked"), ("web", "product_view"), ("meeting", "held")]
    later = []
    for second, (channel, type_) in enumerate(draw.choices(kinds, k=draw.randint(0, 6))):
        bought = {"amount": str(draw.randint(10, 9_000)), "category": draw.choice(["books", "courses"])}
        moment = f"2026-11-{draw.randint(1, 19):02}T{draw.randint(0, 23):02}:{number % 60:02}:{second:02}+00:00"
        later.append(happened(channel, type_, moment, properties=bought if type_ == "purchase" else {}))
    return [first, *later]


async def listed(client: httpx.AsyncClient, headers: dict[str, str] | None = None, **parameters: Any) -> list[View]:
    """All pages."""
    items: list[View] = []
    cursor: dict[str, str] = {}
    while True:
        response = await client.get("/v1/customers", params={**parameters, **cursor}, headers=headers)
        assert response.status_code == 200, response.text
        page = response.json()
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        cursor = {"cursor": page["next_cursor"]}
