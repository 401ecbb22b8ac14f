"""The digest: a function of what was said of customers, and of nothing else."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from tests.support.command import tierwise
from tests.support.database import TestServer, test_settings
from tests.support.product import NOW, Product, history, page_view, purchase
from tests.support.scoring import append, score
from tierwise.cli import build
from tierwise.db.engine import open_engine
from tierwise.domain.interaction import Interaction
from tierwise.domain.updates import Updates
from tierwise.security.personal import Vault, open_vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise_scoring.digest import PARTS, CustomerDigest, Digest, Digesting, TooEarly

AT = datetime(2100, 1, 1, tzinfo=UTC)


def everything() -> list[Interaction]:
    """Of 40 customers, some of whom are tied together on the way, with attributes of all kinds, personal ones too."""
    made = history(random.Random(5), customers=40, interactions=300)
    more = [
        {"updates": Updates(add={"visits": 1}, append={"phone": [f"+86138{number:08}", "+8613800138000"]})}
        for number in range(10)
    ]
    changed = [page_view(1_000 + number, identifiers={"user_id": "u3"}, **one) for number, one in enumerate(more)]
    big = purchase(2_000, "1.00", properties={"amount": "1.00", "points": 1 << 70}, batch="june", links=False)
    return [*made, *changed, msgspec.structs.replace(big, identifiers={"user_id": "u4", "email": "other@example.com"})]


async def digest_of(settings: Settings, engine: AsyncEngine, vault: Vault, *batches: Sequence[Interaction]) -> Digest:
    """After these were scored, each batch on its own."""
    async with open_stream(settings, engine, vault) as stream:
        for batch in batches:
            await append(stream, vault, batch)
            await score(engine, stream, vault, settings, workers=len(batches))
    return await Digesting(engine, vault).run(AT)


@pytest.fixture
async def product(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Product]:
    async with open_stream(settings, engine, vault) as stream:
        yield Product(engine, stream, vault, settings)


@pytest.fixture
async def elsewhere(postgres: TestServer, tmp_path: Path) -> AsyncIterator[tuple[Settings, AsyncEngine, Vault]]:
    """Another database, whose vault has other keys."""
    async with postgres.database() as dsn:
        settings = test_settings(database_url=dsn, data_dir=tmp_path)
        async with open_engine(settings) as engine, engine.begin() as connection:
            await connection.execute(text("DELETE FROM keyring"))
            await connection.execute(text("ALTER SEQUENCE customer_ids RESTART 1000"))
            await connection.commit()
            yield settings, engine, await open_vault(engine, settings)


async def test_it_is_the_same_in_any_order_and_batches_with_other_ids_and_other_keys(
    settings: Settings, engine: AsyncEngine, vault: Vault, elsewhere: tuple[Settings, AsyncEngine, Vault]
) -> None:
    said = everything()
    one = await digest_of(settings, engine, vault, said)
    shuffled = random.Random(1).sample(said, len(said))
    shuffled = [msgspec.structs.replace(it, received=it.received + timedelta(hours=1)) for it in shuffled]
    other = await digest_of(*elsewhere, shuffled[:100], [*shuffled[50:], *shuffled[:20]])
    assert one == other
    assert (one.interactions, set(one.parts)) == (len(said), set(PARTS))
    assert 40 < one.customers < len({name for it in said for name in it.named})  # some are tied together


async def test_a_missing_interaction_shows_in_its_parts_and_at_its_customer(
    settings: Settings, engine: AsyncEngine, vault: Vault, elsewhere: tuple[Settings, AsyncEngine, Vault]
) -> None:
    said = everything()
    last = next(one for one in reversed(said) if one.channel == "order" and one.links and not one.attributes)
    one = await digest_of(settings, engine, vault, said)
    other = await digest_of(*elsewhere, [it for it in said if it is not last])
    assert one.hash != other.hash
    differ = {part for part in PARTS if one.parts[part] != other.parts[part]}
    assert {"interactions", "ledgers", "classification"} <= differ
    assert "identifiers" not in differ
    lines: list[set[CustomerDigest]] = []
    for engine_, vault_ in ((engine, vault), elsewhere[1:]):
        found: list[CustomerDigest] = []
        await Digesting(engine_, vault_, told=found.append).run(AT)
        lines.append({line._replace(customer_id="") for line in found})
    assert len(lines[0] - lines[1]) == len(lines[1] - lines[0]) == 1


TAMPERED = {
    "ledgers": "UPDATE customers SET last_seen = last_seen + interval '1 microsecond' WHERE id = {id}",
    "attributes": r"UPDATE customers SET attributes = '\x80' WHERE id = {id}",
    "interactions": "DELETE FROM interactions WHERE key = (SELECT min(key::text)::uuid FROM interactions)",
    "identifiers": "DELETE FROM identifiers WHERE hash = (SELECT min(hash::text)::uuid FROM identifiers)",
}


@pytest.mark.parametrize("part", TAMPERED)
async def test_each_part_has_a_hash_of_its_own(product: Product, part: str) -> None:
    await product.append(
        page_view(1, identifiers={"user_id": "u1", "email": "a@example.com"}, attributes={"city": "上海"}),
        page_view(2, identifiers={"user_id": "u1"}),
    )
    await product.score()
    before = await Digesting(product.engine, product.vault).run(AT)
    async with product.engine.begin() as connection:
        held = (await connection.execute(text("SELECT max(id) FROM customers"))).scalar_one()
        await connection.execute(text(TAMPERED[part].format(id=held)))
    after = await Digesting(product.engine, product.vault).run(AT)
    assert after.hash != before.hash
    differ = {name for name in PARTS if after.parts[name] != before.parts[name]}
    assert differ - {"classification"} == {part, *({"interactions"} if part == "identifiers" else ())}


async def test_time_alone_changes_the_classification_and_nothing_else(product: Product) -> None:
    await product.append(*(page_view(number, properties={"path": "/pricing"}) for number in range(9)))
    await product.score()
    soon, late = [await Digesting(product.engine, product.vault).run(at) for at in (AT, AT + timedelta(days=9_000))]
    assert soon.parts["interactions"] == late.parts["interactions"]
    day = timedelta(days=1)
    now = max(datetime.now(UTC), NOW + day)
    today, tomorrow = [await Digesting(product.engine, product.vault).run(at) for at in (now, now + day)]
    assert {part for part in PARTS if today.parts[part] != tomorrow.parts[part]} == {"classification"}


async def test_a_day_before_the_last_classification_is_refused(product: Product) -> None:
    await product.append(page_view(1))
    await product.score()
    with pytest.raises(TooEarly, match="Give a time on that day or later"):
        await Digesting(product.engine, product.vault).run(datetime.now(UTC) - timedelta(days=2))


async def test_the_command_prints_one_line_or_json_and_writes_a_line_a_customer(
    product: Product, tmp_path: Path
) -> None:
    await product.append(page_view(1), page_view(2, identifiers={"user_id": "u2"}))
    await product.score()
    file = tmp_path / "customers.tsv"
    plain, document = await asyncio.gather(
        tierwise(product.settings, "digest", "--at", AT.isoformat(), "--write", str(file)),
        tierwise(product.settings, "digest", "--at", AT.isoformat(), "--json"),
    )
    found: dict[str, Any] = json.loads(document.stdout)
    assert (plain.status, plain.stdout) == (0, f"{found['hash']}\n")
    assert (found["customers"], found["interactions"], found["at"]) == (2, 2, "2100-01-01T00:00:00Z")
    assert list(found["parts"]) == list(PARTS)
    lines = [line.split("\t") for line in file.read_text().splitlines()]
    assert [len(line) for line in lines] == [7, 7]


def test_a_time_without_a_zone_is_wrong_use() -> None:
    told = CliRunner().invoke(build(), ["digest", "--at", "2026-11-22"])
    assert (told.exit_code, "with a zone" in told.output) == (2, True)
