"""Listening to changes as they happen, over a real connection."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from functools import partial
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.database import TestServer, test_settings
from tests.support.live import Ear, Heard, known, listening_api, record
from tests.support.proxy import Proxy
from tests.support.services import deployed, until
from tierwise.db import tables
from tierwise.db.engine import open_engine
from tierwise.domain.customer_id import public_id
from tierwise.publishing.schemas import SCHEMAS
from tierwise.security.keys import KeyRing, create_read_key, revoke_key
from tierwise.security.personal import Vault, open_vault
from tierwise.settings import Settings

_numbers = count(1_000)


class Api(NamedTuple):
    url: str
    key: str
    engine: AsyncEngine
    settings: Settings

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    @property
    def everything(self) -> str:
        return f"{self.url}/v1/changes/live"

    def of(self, customer: int) -> str:
        return f"{self.url}/v1/customers/{public_id(customer)}/live"

    async def customer(self, *, merged_into: int | None = None) -> int:
        number = next(_numbers)
        async with self.engine.begin() as connection:
            await known(connection, number, merged_into=merged_into)
        return number

    async def changed(self, customer: int, sequence: int, aspect: str = "tier", **given: Any) -> None:
        async with self.engine.begin() as connection:
            await record(connection, customer, sequence, aspect, **given)

    async def token(self, customer: int, **wanted: Any) -> str:
        async with httpx.AsyncClient(headers=dict(self.headers)) as client:
            made = await client.post(f"{self.url}/v1/tokens", json={"customer_id": public_id(customer), **wanted})
        return str(made.json()["token"])

    async def merge(self, winner: int, loser: int, sequence: int) -> None:
        async with self.engine.begin() as connection:
            customers = tables.customers
            await connection.execute(update(customers).where(customers.c.id == loser).values(merged_into=winner))
            given = {"from": None, "to": None, "score": None, "merged": loser}
            await record(connection, winner, sequence, "merge", **given)


@pytest.fixture(scope="module")
async def api(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(postgres.database())
        settings = test_settings(database_url=dsn, data_dir=tmp_path_factory.mktemp("live"))
        engine = await stack.enter_async_context(open_engine(settings))
        async with engine.begin() as connection:
            key = await create_read_key(connection, await open_vault(connection, settings), name="live")
        yield Api(await stack.enter_async_context(listening_api(settings)), key.secret, engine, settings)


def numbers(heard: list[Heard]) -> list[tuple[str, int]]:
    return [(one.data["customer_id"], one.data["sequence"]) for one in heard]


async def test_a_change_is_told_when_it_is_committed_with_the_data_of_the_topic(api: Api) -> None:
    li = await api.customer()
    async with Ear.open(api.of(li), api.headers) as ear:
        await api.changed(li, 1, interaction="ord-1042")
        heard = await ear.next()
    assert ear.response.headers["content-type"].startswith("text/event-stream")
    assert heard.data == {
        "customer_id": public_id(li), "sequence": 1, "aspect": "tier", "from": "C", "to": "B", "score": 67.5,
        "at": "2026-11-20T12:00:00Z", "rulebook": "2026-11", "cuts": None,
        "cause": {"kind": "interaction", "interaction": "ord-1042"}, "reasons": [],
    }  # fmt: skip


async def test_others_quiet_changes_and_what_was_rolled_back_are_not_told(api: Api) -> None:
    li, wang = await api.customer(), await api.customer()
    async with Ear.open(api.of(li), api.headers) as ear:
        await api.changed(wang, 1)
        await api.changed(li, 1, quiet=True)
        async with api.engine.connect() as connection:
            await record(connection, li, 2)
            await connection.rollback()
        await api.changed(li, 3)
        assert numbers([await ear.next()]) == [(public_id(li), 3)]


async def test_what_commits_late_is_not_passed_over(api: Api) -> None:
    li, wang = await api.customer(), await api.customer()
    async with Ear.open(api.everything, api.headers) as ear, api.engine.connect() as slow:
        await record(slow, li, 1)
        await api.changed(wang, 1)
        hearing = asyncio.create_task(ear.take(2))
        await asyncio.sleep(0.2)
        assert not hearing.done()
        await slow.commit()
        assert numbers(await hearing) == [(public_id(li), 1), (public_id(wang), 1)]


@pytest.mark.parametrize("by", ["header", "parameter"])
async def test_who_comes_back_misses_nothing_and_hears_nothing_twice(api: Api, by: str) -> None:
    li = await api.customer()
    async with Ear.open(api.everything, api.headers) as ear:
        await api.changed(li, 1)
        await api.changed(li, 2)
        first = await ear.next()
        assert first.data["sequence"] == 1
    for sequence in (3, 4):
        await api.changed(li, sequence)
    last: dict[str, Any] = {"last_id": first.id} if by == "header" else {"last_event_id": first.id}
    async with Ear.open(api.everything, api.headers, **last) as ear:
        await api.changed(li, 5)
        assert numbers(await ear.take(4)) == [(public_id(li), sequence) for sequence in (2, 3, 4, 5)]


async def test_another_process_goes_on_from_the_same_position(api: Api) -> None:
    li = await api.customer()
    async with Ear.open(api.of(li), api.headers) as ear:
        async with api.engine.begin() as connection:
            for sequence in (1, 2, 3):
                await record(connection, li, sequence)
        [_, second] = await ear.take(2)
    async with listening_api(api.settings) as other:
        url = api.of(li).replace(api.url, other)
        async with Ear.open(url, api.headers, last_id=second.id) as ear:
            await api.changed(li, 4)
            assert numbers(await ear.take(2)) == [(public_id(li), 3), (public_id(li), 4)]


async def test_a_long_absence_is_caught_up_in_order(api: Api) -> None:
    li = await api.customer()
    async with Ear.open(api.everything, api.headers) as ear:
        start = ear.last_id
    async with api.engine.begin() as connection:
        await connection.execute(
            text(
                """INSERT INTO changes (customer_id, sequence, shard, aspect, "from", "to", at, rulebook_id, cause,
                                        reasons, quiet)
                   SELECT :li, number, number % 4, 'lifecycle', 'lead', 'active', now(), 1, 'time', '', false
                   FROM generate_series(1, 1700) AS number"""
            ),
            {"li": li},
        )
    async with Ear.open(api.everything, api.headers, last_id=start) as ear:
        await api.changed(li, 1701)
        heard = await ear.take(1701)
    assert numbers(heard) == [(public_id(li), sequence) for sequence in range(1, 1702)]


async def test_whoever_listens_to_a_customer_who_is_merged_hears_the_winner_from_then_on(api: Api) -> None:
    winner, loser = await api.customer(), await api.customer()
    async with Ear.open(api.of(loser), api.headers) as ear:
        await api.changed(loser, 1)
        await api.merge(winner, loser, 1)
        await api.changed(winner, 2)
        heard = await ear.take(3)
    assert numbers(heard) == [(public_id(loser), 1), (public_id(winner), 1), (public_id(winner), 2)]
    assert heard[1].data["merged"] == [public_id(loser)]


async def test_coming_back_after_a_merge_misses_nothing(api: Api) -> None:
    winner, loser = await api.customer(), await api.customer()
    async with Ear.open(api.of(loser), api.headers) as ear:
        await api.changed(loser, 1)
        first = await ear.next()
    await api.changed(loser, 2)
    await api.merge(winner, loser, 1)
    await api.changed(winner, 2)
    async with Ear.open(api.of(loser), api.headers, last_id=first.id) as ear:
        assert numbers(await ear.take(3)) == [(public_id(loser), 2), (public_id(winner), 1), (public_id(winner), 2)]


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"aspect": "intent"}, [2]),
        ({"aspect": ["tier", "tag"]}, [1, 3, 4]),
        ({"aspect": "tag:behaviour.browsing"}, [3]),
        ({"from": "C", "to": ["A", "B"]}, [1]),
        ({"to": "high"}, [2, 3]),
    ],
)
async def test_filters_leave_the_rest_out(api: Api, wanted: dict[str, Any], told: list[int]) -> None:
    li = await api.customer()
    async with Ear.open(api.of(li), api.headers, **wanted) as ear:
        start = ear.last_id
        await api.changed(li, 1)
        await api.changed(li, 2, "intent", **{"from": "low", "to": "high"})
        await api.changed(li, 3, "tag:behaviour.browsing", **{"from": None, "to": "high", "score": None})
        await api.changed(li, 4, "tag:behaviour.buying", **{"from": "rare", "to": None, "score": None})
        assert [one.data["sequence"] for one in await ear.take(len(told))] == told
        assert await ear.silent()
    async with Ear.open(api.of(li), api.headers, last_id=start, **wanted) as ear:
        assert [one.data["sequence"] for one in await ear.take(len(told))] == told


async def test_an_idle_connection_is_kept_alive_and_its_position_moves_on(api: Api) -> None:
    li, wang = await api.customer(), await api.customer()
    async with (
        listening_api(api.settings, heartbeat_s=0.1) as url,
        Ear.open(api.of(li).replace(api.url, url), api.headers) as ear,
    ):
        start = ear.last_id
        await api.changed(wang, 1)
        async with asyncio.timeout(10):
            while ear.last_id == start:
                await ear.beat()
        await api.changed(li, 1)
        assert numbers([await ear.next()]) == [(public_id(li), 1)]


async def test_who_does_not_read_is_dropped_and_told_why(api: Api) -> None:
    li = await api.customer()
    async with Ear.open(api.everything, api.headers) as ear, Ear.open(api.everything, api.headers, to="last") as other:
        async with api.engine.begin() as connection:
            await connection.execute(
                text(
                    """INSERT INTO changes (customer_id, sequence, shard, aspect, "from", "to", at, rulebook_id, cause,
                                            interaction, reasons, quiet)
                       SELECT :li, number, 0, 'lifecycle', 'lead',
                              CASE number WHEN 5500 THEN 'last' ELSE 'active' END, now(), 1, 'interaction',
                              repeat('x', 4000), '', false
                       FROM generate_series(1, 5500) AS number"""
                ),
                {"li": li},
            )
        await other.next()
        heard = await ear.next()
        while heard.event == "message":
            last, heard = heard, await ear.next()
        assert (heard.event, heard.data["reason"]) == ("end", "too_slow")
    async with Ear.open(api.everything, api.headers, last_id=last.id, aspect="lifecycle") as ear:
        assert (await ear.next()).data["sequence"] == last.data["sequence"] + 1


async def test_an_outage_of_the_database_leaves_no_gap(api: Api, postgres: TestServer) -> None:
    li = await api.customer()
    parts = urlsplit(api.settings.database_url.get_secret_value())  # type: ignore[union-attr]
    socket = f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432"
    database = Proxy(lambda: asyncio.open_unix_connection(socket))
    await database.start()
    proxied = SecretStr(f"postgresql://{parts.username}@127.0.0.1:{database.port}{parts.path}")
    settings = api.settings.model_copy(update={"database_url": proxied})
    async with (
        listening_api(settings) as url,
        Ear.open(api.of(li).replace(api.url, url), api.headers) as ear,
    ):
        await api.changed(li, 1)
        await ear.next()
        await database.go_away()
        await api.changed(li, 2)
        await asyncio.sleep(0.2)
        await database.start()
        await api.changed(li, 3)
        assert numbers(await ear.take(2)) == [(public_id(li), 2), (public_id(li), 3)]
    await database.go_away()


async def test_a_feed_that_cannot_go_on_says_so_instead_of_falling_silent(
    settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    async with engine.begin() as connection:
        key = await create_read_key(connection, vault, name="live")
    headers = {"Authorization": f"Bearer {key.secret}"}
    async with listening_api(settings) as url:
        async with Ear.open(f"{url}/v1/changes/live", headers) as ear:
            async with engine.begin() as connection:
                await record(connection, 1, 1, rulebook_id=999)  # which there is not
            assert (await ear.next()).event == "end"
        async with httpx.AsyncClient(headers=headers) as client:
            assert (await client.get(f"{url}/v1/changes/live")).status_code == 503


async def test_the_metrics_tell_how_many_listen(api: Api) -> None:
    async with Ear.open(api.everything, api.headers), httpx.AsyncClient() as client:

        async def one() -> bool:
            return "tierwise_live_connections 1.0" in (await client.get(f"{api.url}/metrics")).text

        await until(one, within_s=10)


async def test_a_stopping_process_says_goodbye_and_is_gone_soon(postgres: TestServer, tmp_path: Path) -> None:
    async with postgres.database() as dsn, deployed(tmp_path, dsn) as deployment:
        service = await deployment.start("profile-api")
        headers = await deployment.read_key("live")
        async with Ear.open(f"{service.url}/v1/changes/live", headers) as ear:
            started = monotonic()
            stopping = asyncio.create_task(service.stop())
            heard = await ear.next()
            assert (heard.event, heard.data["reason"]) == ("end", "restart")
            assert await stopping == 0
            assert monotonic() - started < 7


class TestWhoMayNotListenAnyMore:
    async def test_with_the_token_the_connection_ends_and_is_refused_when_it_comes_back(self, api: Api) -> None:
        li = await api.customer()
        token = await api.token(li, expires_in_s=2)
        async with Ear.open(api.of(li), {}, access_token=token) as ear:
            await api.changed(li, 1)
            assert (await ear.next()).data["sequence"] == 1
            heard = await ear.next(within_s=5)
            assert (heard.event, heard.data["reason"]) == ("end", "expired")
        async with httpx.AsyncClient() as client:
            again = await client.get(api.of(li), params={"access_token": token, "last_event_id": heard.id})
        assert (again.status_code, again.json()["code"]) == (401, "unauthorized")

    async def test_with_its_key_a_connection_ends_also_one_of_a_token_of_it_and_while_it_is_told_much(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tierwise_profile_api.backend.KeyRing", partial(KeyRing, fresh_s=0.1))
        li = await api.customer()
        async with api.engine.begin() as connection:
            key = await create_read_key(connection, await open_vault(connection, api.settings), name="lost")
        async with listening_api(api.settings, heartbeat_s=0.2) as url:
            other = api._replace(url=url, key=key.secret)
            token = await other.token(li)
            async with (
                Ear.open(other.everything, other.headers) as ear,
                Ear.open(other.of(li), {}, access_token=token) as page,
            ):
                await other.changed(li, 1)
                assert (await ear.next()).data == (await page.next()).data
                async with api.engine.begin() as connection:
                    await revoke_key(connection, key.id)
                sequences = count(2)
                for listening in (ear, page):
                    for sequence in sequences:
                        await other.changed(li, sequence)
                        if (heard := await listening.next()).event == "end":
                            break
                    assert heard.data["reason"] == "revoked"


class TestRefused:
    async def get(self, api: Api, path: str, **given: Any) -> tuple[int, str]:
        async with httpx.AsyncClient(headers=dict(api.headers)) as client:
            response = await client.get(f"{api.url}{path}", **given)
        return response.status_code, response.json()["code"]

    @pytest.mark.parametrize("position", ["x", "1-2", "5-4-0", "1-2-3-4", "1-2-3x", "9" * 30 + "-1-1", "-1-2-3"])
    async def test_a_position_that_is_none(self, api: Api, position: str) -> None:
        assert await self.get(api, "/v1/changes/live", params={"last_event_id": position}) == (400, "bad_parameter")

    async def test_a_position_of_another_database(self, api: Api) -> None:
        ahead = {"Last-Event-ID": f"{1 << 40}-{1 << 40}-0"}
        assert await self.get(api, "/v1/changes/live", headers=ahead) == (400, "bad_parameter")

    async def test_an_aspect_that_there_is_not(self, api: Api) -> None:
        assert await self.get(api, "/v1/changes/live", params={"aspect": "teir"}) == (400, "bad_parameter")

    async def test_an_unknown_customer(self, api: Api) -> None:
        assert await self.get(api, f"/v1/customers/{public_id(5)}/live") == (404, "unknown_customer")

    async def test_nobody_without_a_key(self, api: Api) -> None:
        no_key = {"Authorization": ""}
        assert await self.get(api, "/v1/changes/live", headers=no_key) == (401, "unauthorized")
        assert await self.get(api, "/v1/changes/live?access_token=x", headers=no_key) == (401, "unauthorized")

    async def test_a_browser_names_a_token_of_this_customer_in_the_address(self, api: Api) -> None:
        li, wang = await api.customer(), await api.customer()
        token = await api.token(li)
        async with Ear.open(api.of(li), {}, access_token=token) as ear:
            await api.changed(li, 1)
            assert (await ear.next()).data["sequence"] == 1
        no_key = {"Authorization": ""}
        for path in (api.of(wang), api.everything):
            refused = await self.get(api, path.removeprefix(api.url), headers=no_key, params={"access_token": token})
            assert refused == (403, "other_customer")


class TestDescriptions:
    async def test_the_schema_of_each_event_is_served_to_all(self, api: Api) -> None:
        async with httpx.AsyncClient(base_url=api.url) as client:
            listed = (await client.get("/schemas")).json()
            assert set(listed) == set(SCHEMAS)
            for event_type, path in listed.items():
                response = await client.get(path)
                assert response.headers["content-type"] == "application/schema+json"
                assert response.json()["$id"].endswith(event_type)
            unknown = await client.get("/schemas/nothing.json")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_schema")

    async def test_the_document_of_the_topics_is_served_to_all(self, api: Api) -> None:
        async with httpx.AsyncClient(base_url=api.url) as client:
            assert (await client.get("/asyncapi.json")).json()["asyncapi"] == "3.0.0"
