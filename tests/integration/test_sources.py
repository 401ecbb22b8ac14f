"""Sources: sealed secrets, two of them good while they rotate, keys that end, and what services remember of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tierwise.db.tables import source_secrets, sources
from tierwise.domain.source import BACKEND, BROWSER, Intake, RateLimit
from tierwise.problem import Problem, Unauthorized
from tierwise.security.keys import Created, KeyRing, SourceExists, create_write_key
from tierwise.security.personal import Vault
from tierwise.security.source_document import InvalidSource, read_source
from tierwise.security.source_registry import (
    SourceRetired,
    UnknownSource,
    create_source,
    find_source,
    list_sources,
    registered_document,
    retire_source,
    rotate_key,
    rotate_secret,
    update_source,
)
from tierwise.security.sources import Sources

SHOP = {"origins": ["https://shop.example"], "rate_limit": {"per_second": 100, "burst": 1000}}
AN_HOUR = timedelta(hours=1)


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Registry:
    """One transaction for each call."""

    def __init__(self, engine: AsyncEngine, vault: Vault) -> None:
        self.engine, self.vault = engine, vault

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        async with self.engine.begin() as connection:
            yield connection

    async def make(self, name: str, trust: str = "backend", **intake: Any) -> Created:
        async with self.transaction() as connection:
            return await create_source(
                connection, self.vault, read_source({"name": name, "trust": trust, "intake": intake})
            )

    async def rotate_secret(self, name: str, secret: str | None = None, *, grace: timedelta = AN_HOUR) -> str:
        async with self.transaction() as connection:
            return await rotate_secret(connection, self.vault, name, secret, grace=grace)

    async def rotate_key(self, name: str, *, grace: timedelta = AN_HOUR) -> Created:
        async with self.transaction() as connection:
            return await rotate_key(connection, self.vault, name, grace=grace)

    async def retire(self, name: str) -> None:
        async with self.transaction() as connection:
            await retire_source(connection, name)

    async def secrets(self, name: str) -> tuple[bytes, ...]:
        return (await Sources(self.engine, self.vault).named(name)).secrets

    async def time_passes(self, hours: int) -> None:
        async with self.transaction() as connection:
            for table, column in (("keys", "revoked_at"), ("source_secrets", "retired_at")):
                await connection.execute(text(f"UPDATE {table} SET {column} = {column} - interval '{hours} hours'"))


@pytest.fixture
def registry(engine: AsyncEngine, vault: Vault) -> Registry:
    return Registry(engine, vault)


async def test_a_sources_first_key_tells_what_it_may_and_how_it_is_taken(registry: Registry) -> None:
    created = await registry.make("page", "browser", **SHOP)
    source = await KeyRing(registry.engine, registry.vault).authenticate_write(created.secret)
    assert (source.name, source.trust) == ("page", BROWSER)
    assert source.intake.rate_limit == RateLimit(per_second=100, burst=1000)
    assert source.intake.origins == {"https://shop.example"}


async def test_a_name_is_given_once(registry: Registry) -> None:
    await registry.make("page")
    with pytest.raises(SourceExists, match="page"):
        await registry.make("page")


async def test_a_source_of_before_is_taken_by_default(registry: Registry) -> None:
    async with registry.transaction() as connection:
        await create_write_key(connection, registry.vault, source="shop", trust=BACKEND)
    found = await Sources(registry.engine, registry.vault).named("shop")
    assert (found.source.trust, found.source.intake, found.secrets) == (BACKEND, Intake(), ())


async def test_secrets_are_sealed_and_nobody_elses(registry: Registry) -> None:
    await registry.make("twilio")
    await registry.make("sendgrid")
    await registry.rotate_secret("twilio", "the provider's own")
    assert await registry.secrets("twilio") == (b"the provider's own",)
    async with registry.transaction() as connection:
        row = (await connection.execute(select(source_secrets))).one()
        assert b"provider" not in row.ciphertext
        other = select(sources.c.id).where(sources.c.name == "sendgrid").scalar_subquery()
        await connection.execute(source_secrets.update().values(source_id=other))
    with pytest.raises(ValueError, match="sealed"):
        await registry.secrets("sendgrid")


async def test_while_rotating_two_secrets_are_good_the_newest_first(registry: Registry) -> None:
    await registry.make("mailgun")
    for secret in ("first", "second"):
        await registry.rotate_secret("mailgun", secret)
    assert await registry.secrets("mailgun") == (b"second", b"first")
    await registry.rotate_secret("mailgun", "third")
    assert await registry.secrets("mailgun") == (b"third", b"second")
    await registry.time_passes(hours=1)
    assert await registry.secrets("mailgun") == (b"third",)


async def test_a_secret_that_was_given_away_can_be_ended_at_once(registry: Registry) -> None:
    await registry.make("mailgun")
    await registry.rotate_secret("mailgun", "leaked")
    made = await registry.rotate_secret("mailgun", grace=timedelta(0))
    assert len(made) == 43
    assert await registry.secrets("mailgun") == (made.encode(),)


@pytest.mark.parametrize("secret", ["", "x" * 5000, "a\0b", "密"])
async def test_a_secret_that_is_none_is_refused(registry: Registry, secret: str) -> None:
    await registry.make("mailgun")
    with pytest.raises(InvalidSource, match="secret"):
        await registry.rotate_secret("mailgun", secret)


async def test_a_key_goes_on_for_the_grace_after_it_was_rotated(registry: Registry) -> None:
    old = await registry.make("shop")
    new = await registry.rotate_key("shop")
    ring = KeyRing(registry.engine, registry.vault)
    assert await ring.authenticate_write(old.secret) == await ring.authenticate_write(new.secret)
    await registry.time_passes(hours=1)
    ring = KeyRing(registry.engine, registry.vault)
    await ring.authenticate_write(new.secret)
    with pytest.raises(Unauthorized, match="revoked"):
        await ring.authenticate_write(old.secret)


@pytest.mark.parametrize("grace", [timedelta(seconds=-1), timedelta(days=91)])
async def test_a_grace_is_not_negative_and_not_for_ever(registry: Registry, grace: timedelta) -> None:
    await registry.make("shop")
    with pytest.raises(InvalidSource, match="grace"):
        await registry.rotate_key("shop", grace=grace)


async def test_a_retired_source_is_refused_under_every_key_and_secret_for_good(registry: Registry) -> None:
    created = await registry.make("shop")
    rotated = await registry.rotate_key("shop")
    await registry.rotate_secret("shop", "one")
    await registry.retire("shop")
    for key in (created, rotated):
        with pytest.raises(Unauthorized):
            await KeyRing(registry.engine, registry.vault).authenticate_write(key.secret)
    with pytest.raises(Unauthorized):
        await registry.secrets("shop")
    with pytest.raises(SourceRetired):
        await registry.rotate_key("shop")
    async with registry.transaction() as connection:
        with pytest.raises(SourceExists, match="retired"):
            await create_write_key(connection, registry.vault, source="shop", trust=BACKEND)
        assert [one.retired_at is None for one in await list_sources(connection)] == [False]


@pytest.mark.parametrize("name", ["", "nobody", "a" * 300, "x\0"])
async def test_a_source_that_is_not_there_answers_as_one_whose_signature_is_wrong(
    registry: Registry, name: str
) -> None:
    await registry.make("shop")
    await registry.retire("shop")
    answers = []
    for asked in (name, "shop"):
        with pytest.raises(Unauthorized) as refused:
            await registry.secrets(asked)
        answers.append(refused.value.members())
    assert answers[0] == answers[1]


async def test_changes_reach_services_within_ten_seconds(registry: Registry) -> None:
    clock = Clock()
    known = Sources(registry.engine, registry.vault, clock=clock)
    await registry.make("page", "browser", origins=["https://old.example"])
    await registry.make("gone", "browser", origins=["https://gone.example"])
    assert (await known.named("page")).secrets == ()
    assert await known.origins() == {"https://old.example", "https://gone.example"}
    async with registry.transaction() as connection:
        await update_source(connection, "page", {"intake": {"origins": ["https://new.example"]}})
    await registry.rotate_secret("page", "one")
    await registry.retire("gone")
    clock.now_s += 10
    found = await known.named("page")
    assert found.source.intake.origins == {"https://new.example"}
    assert found.secrets == (b"one",)
    assert await known.origins() == {"https://new.example"}


async def test_what_is_shown_of_a_source_holds_neither_keys_nor_secrets(registry: Registry) -> None:
    created = await registry.make("page", "browser", **SHOP)
    await registry.rotate_secret("page", "of the provider")
    await registry.rotate_secret("page", "of the provider, too")
    async with registry.transaction() as connection:
        document = registered_document(await find_source(connection, "page"))
    assert document["intake"]["origins"] == ["https://shop.example"]
    assert [one["id"] for one in document["keys"]] == [created.id]
    assert [one["ends_at"] is None for one in document["secrets"]] == [False, True]
    assert "of the provider" not in str(document)
    assert created.secret not in str(document)


async def test_a_change_that_is_wrong_changes_nothing(registry: Registry) -> None:
    await registry.make("page", "browser", **SHOP)
    for patch in ({"intake": {"origins": ["shop"]}}, {"trust": {"links": True}}, {"name": "other"}):
        async with registry.transaction() as connection:
            with pytest.raises(InvalidSource):
                await update_source(connection, "page", patch)
            assert (await find_source(connection, "page")).trust == BROWSER


@pytest.mark.parametrize("work", [find_source, retire_source])
async def test_an_unknown_source_is_named(registry: Registry, work: Any) -> None:
    for name in ("nobody", "x\0"):
        async with registry.transaction() as connection:
            with pytest.raises(UnknownSource) as refused:
                await work(connection, name)
    assert isinstance(refused.value, Problem)
