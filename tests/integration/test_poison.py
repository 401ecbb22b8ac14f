"""Records that make each stage fail in turn, in one batch: each is set aside with its reason, its neighbours count,
and it counts itself when what was wrong is mended."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.database import TestServer
from tests.support.product import Product, page_view, purchase
from tests.support.sequential import sequential
from tests.support.services import comparable, deployed
from tierwise.db.tables import customers, dead_letters, identifiers, stream_positions
from tierwise.domain.interaction import Interaction, encode
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream import topics
from tierwise.stream.open import open_stream
from tierwise.stream.port import Outgoing
from tierwise_scoring.dead_letters import Chosen, replay
from tierwise_scoring.rebuild import Rebuild

NO_JSON = b"\xff\xfe"
NO_INTERACTION = b'{"id": "i9", "amount": "5.00"}'
DAMAGED = page_view(21, identifiers={"user_id": "damaged"})
TOO_BIG = page_view(22, attributes={"employees": 1 << 80})
TOO_LONG = purchase(23, "7.00", id="x" * 2_000)
BEFORE = [page_view(1, identifiers={"user_id": "damaged"}), page_view(2)]
NEIGHBOURS = [page_view(100 + number, identifiers={"user_id": f"u{number % 5}"}) for number in range(60)]


@pytest.fixture
async def product(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Product]:
    async with open_stream(settings, engine, vault) as stream:
        yield Product(engine, stream, vault, settings)


@pytest.fixture
async def poisoned(product: Product) -> Product:
    """After a batch with one of each in it, on one partition."""
    await product.append(*BEFORE)
    await product.score()
    await _damage(product, "damaged")
    await _execute(product, "ALTER TABLE interactions ADD CONSTRAINT short CHECK (length(id) < 1000)")
    poison = [NO_JSON, NO_INTERACTION, *map(encode, (DAMAGED, TOO_BIG, TOO_LONG))]
    values = [encode(one) for one in NEIGHBOURS]
    for place, value in zip((0, 7, 30, 31, 63), poison, strict=True):
        values.insert(place, value)
    await product.stream.append(topics.INTERACTIONS, [Outgoing(b"k", value, partition=2) for value in values])
    await product.score()
    return product


async def test_each_is_a_dead_letter_with_its_reason_and_its_neighbours_count(poisoned: Product) -> None:
    async with poisoned.engine.connect() as connection:
        letters = (await connection.execute(select(dead_letters).order_by(dead_letters.c.position))).all()
        query = select(stream_positions.c.position).where(stream_positions.c.partition == 2)
        position = (await connection.execute(query)).scalar_one()
    assert [poisoned.vault.open(letter.ciphertext) for letter in letters] == [
        NO_JSON, NO_INTERACTION, encode(DAMAGED), encode(TOO_BIG), encode(TOO_LONG)
    ]  # fmt: skip
    assert [letter.reason for letter in letters] == ["undecodable"] * 2 + ["unprocessable"] * 3
    assert [letter.detail for letter in letters[2:]] == [
        "ValueError while it was processed",
        "OverflowError while it was processed",
        "CheckViolationError while it was processed",
    ]
    assert position == letters[-1].position + 1 + 1  # a neighbour stands after the last
    for number in range(5):
        expected = 12 + (number == 1)  # u1 was there before
        assert (await poisoned.view("user_id", f"u{number}"))["interactions"] == expected


async def test_after_a_fix_they_are_replayed_and_count_as_if_nothing_had_been(
    poisoned: Product, postgres: TestServer, tmp_path: Path
) -> None:
    await _execute(poisoned, "ALTER TABLE interactions DROP CONSTRAINT short")
    await Rebuild(poisoned.engine, poisoned.vault).everyone()
    assert await replay(poisoned.engine, poisoned.stream, poisoned.vault, Chosen()) == 5
    await poisoned.score()
    async with poisoned.engine.connect() as connection:
        again = select(dead_letters.c.detail).where(dead_letters.c.replayed_at.is_(None)).order_by(dead_letters.c.id)
        left = (await connection.execute(again)).scalars().all()
    assert len(left) == 3  # what cannot be mended: no JSON, no interaction, a number that no column holds
    assert "OverflowError while it was processed" in left
    usable: list[Interaction] = [*BEFORE, *NEIGHBOURS, DAMAGED, TOO_LONG]
    dsn = poisoned.settings.database_url
    assert dsn is not None
    async with deployed(tmp_path / "poisoned", dsn.get_secret_value()) as deployment:
        found = comparable(await deployment.export())
    assert found == await sequential(postgres, tmp_path / "sequential", usable)


async def _damage(product: Product, user_id: str) -> None:
    """As a disk that loses bits does it."""
    holder = select(identifiers.c.customer_id).where(
        identifiers.c.hash == product.vault.identifier_hash("user_id", user_id)
    )
    async with product.engine.begin() as connection:
        await connection.execute(
            update(customers)
            .where(customers.c.id == holder.scalar_subquery())
            .values(ledger=customers.c.ledger.concat(b"\x01"))
        )


async def _execute(product: Product, statement: str) -> None:
    async with product.engine.begin() as connection:
        await connection.execute(text(statement))
