"""Dead letters: what scoring could not use is looked at without being shown, and gets another go."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from tests.support.command import tierwise
from tests.support.product import Product, page_view
from tierwise.cli import build
from tierwise.db.tables import dead_letters, interactions
from tierwise.domain.interaction import encode
from tierwise.problem import NotFound
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream import topics
from tierwise.stream.open import open_stream
from tierwise.stream.port import Outgoing, StreamUnavailable
from tierwise_scoring.dead_letters import Chosen, count, list_letters, replay, show_letter

SECRET = "wang.secret@example.com"
POISON = b'{"id": "p1", "email": "' + SECRET.encode() + b'"}'
NOT_TEXT = b"\xff\xfe\x00"


@pytest.fixture
async def product(settings: Settings, engine: AsyncEngine, vault: Vault) -> AsyncIterator[Product]:
    async with open_stream(settings, engine, vault) as stream:
        yield Product(engine, stream, vault, settings)


async def poison(product: Product, *values: bytes) -> list[int]:
    """Records that become dead letters with these ids, in the same order."""
    key = product.vault.identifier_hash("user_id", "u1")
    await product.stream.append(topics.INTERACTIONS, [Outgoing(key=key, value=value) for value in values])
    await product.score()
    return [row.id for row in (await rows(product))[-len(values) :]]


async def refuse_long_ids(product: Product) -> None:
    await execute(product, "ALTER TABLE interactions ADD CONSTRAINT short CHECK (length(id) < 1000)")


async def allow_long_ids(product: Product) -> None:
    await execute(product, "ALTER TABLE interactions DROP CONSTRAINT short")


async def execute(product: Product, statement: str) -> None:
    async with product.engine.begin() as connection:
        await connection.execute(text(statement))


async def rows(product: Product) -> list[Any]:
    async with product.engine.connect() as connection:
        return list(await connection.execute(select(dead_letters).order_by(dead_letters.c.id)))


async def listed(product: Product, **options: Any) -> list[int]:
    async with product.engine.connect() as connection:
        return [letter.id for letter in await list_letters(connection, **options)]


async def test_letters_are_listed_newest_first_by_reason_and_limit(product: Product) -> None:
    first, second = await poison(product, POISON, encode(page_view(1, channel="pigeon")))
    assert await listed(product) == [second, first]
    assert await listed(product, limit=1) == [second]
    assert await listed(product, reason="undecodable") == [first]
    assert await listed(product, reason="no such reason") == []


async def test_a_letter_shows_where_it_stood_and_its_bytes(product: Product) -> None:
    await product.append(page_view(1))
    [letter_id] = await poison(product, POISON)
    async with product.engine.connect() as connection:
        letter, key, value = await show_letter(connection, product.vault, letter_id)
    assert (letter.topic, letter.position, letter.reason) == (topics.INTERACTIONS, 1, "undecodable")
    assert (key, value) == (product.vault.identifier_hash("user_id", "u1"), POISON)


async def test_after_a_fix_a_replayed_record_is_scored_once_however_often_it_is_replayed(product: Product) -> None:
    await refuse_long_ids(product)
    await product.append(page_view(1), page_view(2, id="x" * 2_000))
    await product.score()
    [letter_id] = await listed(product)
    assert (await product.view("user_id", "u1"))["interactions"] == 1
    await allow_long_ids(product)

    for _ in range(2):
        assert await replay(product.engine, product.stream, product.vault, Chosen([letter_id])) == 1
        await product.score()
        assert (await product.view("user_id", "u1"))["interactions"] == 2
    assert await product.count(interactions) == 2
    assert await listed(product) == []
    assert await listed(product, replayed=True) == [letter_id]


async def test_a_replayed_record_comes_to_the_partition_it_came_from(product: Product) -> None:
    [letter_id] = await poison(product, POISON)
    await replay(product.engine, product.stream, product.vault, Chosen([letter_id]))
    await product.score()
    first, again = await rows(product)
    assert (again.partition, again.position, again.record_key) == (first.partition, 1, first.record_key)


async def test_what_fails_again_is_a_new_letter_and_replaying_all_ends(product: Product) -> None:
    before = await poison(product, *[POISON] * 250)
    assert await replay(product.engine, product.stream, product.vault, Chosen()) == 250
    await product.score()
    after = await listed(product, limit=1_000)
    assert len(after) == 250
    assert min(after) > max(before)


async def test_a_reason_chooses_and_what_was_replayed_is_not_chosen_again(product: Product) -> None:
    await poison(product, POISON, NOT_TEXT, encode(page_view(1, channel="pigeon")))
    chosen = Chosen(reason="undecodable")
    assert await count(product.engine, chosen) == 2
    progress: list[int] = []
    assert await replay(product.engine, product.stream, product.vault, chosen, progress.append) == 2
    assert progress == [2]
    assert await replay(product.engine, product.stream, product.vault, chosen) == 0
    assert len(await listed(product)) == 1


async def test_ids_that_are_none_are_named_before_anything_is_replayed(product: Product) -> None:
    [letter_id] = await poison(product, POISON)
    with pytest.raises(NotFound, match="77, 78"):
        await count(product.engine, Chosen([78, letter_id, 77]))
    async with product.engine.connect() as connection:
        with pytest.raises(NotFound, match="77"):
            await show_letter(connection, product.vault, 77)


async def test_a_letter_is_not_marked_when_the_stream_did_not_take_it(product: Product) -> None:
    [letter_id] = await poison(product, POISON)
    await execute(product, "ALTER TABLE stream_batches RENAME TO gone")
    with pytest.raises(StreamUnavailable):
        await replay(product.engine, product.stream, product.vault, Chosen([letter_id]))
    assert await listed(product) == [letter_id]


async def test_the_commands_show_content_only_when_asked(product: Product) -> None:
    text_id, bytes_id = await poison(product, POISON + b"\x1b[2J", NOT_TEXT)
    found = await tierwise(product.settings, "dead-letters", "list", "--json")
    assert [one["id"] for one in json.loads(found.stdout)] == [bytes_id, text_id]
    plain = await tierwise(product.settings, "dead-letters", "show", str(text_id))
    assert plain.status == 0
    assert "undecodable" in plain.stdout
    assert "personal data" in plain.stderr
    whole = await tierwise(product.settings, "dead-letters", "show", str(text_id), "--content")
    assert SECRET in whole.stdout
    assert "\x1b" not in whole.stdout
    binary = await tierwise(product.settings, "dead-letters", "show", str(bytes_id), "--content", "--json")
    assert json.loads(binary.stdout)["content"] == "//4A"
    for done in (found, plain):
        assert SECRET not in done.stdout + done.stderr


async def test_the_command_replays_and_says_how_many(product: Product) -> None:
    await refuse_long_ids(product)
    await product.append(page_view(1, id="x" * 2_000), page_view(2))
    await product.score()
    await allow_long_ids(product)
    done = await tierwise(product.settings, "dead-letters", "replay", "--all", "--json")
    assert (done.status, json.loads(done.stdout)) == (0, {"replayed": 1})
    await product.score()
    assert (await product.view("user_id", "u1"))["interactions"] == 2
    assert (await tierwise(product.settings, "dead-letters", "list")).stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("replay",),
        ("replay", "1", "--all"),
        ("replay", "one"),
        ("replay", "--reason", "unmapped"),
        ("replay", "999999999999999999999"),
        ("show", "0"),
    ],
)
def test_wrong_use_is_status_2(arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(build(), ["dead-letters", *arguments]).exit_code == 2


@pytest.mark.parametrize("arguments", [("show", "41"), ("replay", "41", "42")])
async def test_unknown_letters_are_named(product: Product, arguments: tuple[str, ...]) -> None:
    done = await tierwise(product.settings, "dead-letters", *arguments)
    assert done.status == 1
    assert done.stderr.startswith("tierwise: there is no dead letter 41")
