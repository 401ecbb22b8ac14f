"""`tierwise import` against a real database and the embedded stream."""

import asyncio
import gzip
import json
import os
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from tests.support.database import SECRET_KEY
from tests.support.ingest import appended_records
from tests.support.product import Product
from tests.support.scoring import views, worker
from tierwise.cli import build
from tierwise.db.tables import sources
from tierwise.domain.interaction import Interaction, decode, strongest
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise.stream.port import Partition
from tierwise.stream.topics import INTERACTIONS
from tierwise_ingest.importing.batches import stored_batches
from tierwise_ingest.importing.run import NotScored, wait_until_scored

HEADER = " customer_id  date number_of_cds  dollar_value"
ORDERS = [
    f" {number % 40:05} 1997{1 + number % 12:02}{1 + number % 28:02}  {number % 3}   {number % 50}.77"
    for number in range(500)
]
ORDERS += ORDERS[:60]  # equal lines are real orders


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    assert settings.database_url is not None
    return os.environ | {
        "TIERWISE_DATABASE_URL": settings.database_url.get_secret_value(),
        "TIERWISE_SECRET_KEY": SECRET_KEY,
        "TIERWISE_DATA_DIR": str(settings.data_dir),
    }


async def tierwise(environment: dict[str, str], *arguments: object) -> Outcome:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from tierwise.cli import main; main()", *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Outcome(process.returncode, out.decode(), err.decode())


async def on_the_stream(settings: Settings, engine: AsyncEngine, vault: Vault) -> list[tuple[bytes, Interaction]]:
    """Key and interaction of every record."""
    records = await appended_records(settings, engine, vault)
    return [(record.key or b"", decode(record.value)) for record in records]


async def test_the_same_file_shuffled_and_in_other_batches_gives_the_same_interactions(
    environment: dict[str, str], settings: Settings, engine: AsyncEngine, vault: Vault, tmp_path: Path
) -> None:
    first, second = tmp_path / "orders.txt", tmp_path / "shuffled.txt.gz"
    first.write_text("\r\n".join([HEADER, *ORDERS]))
    shuffled = random.Random(1).sample(ORDERS, len(ORDERS))
    second.write_bytes(gzip.compress("\r\n".join([HEADER, *shuffled]).encode()))
    options = ("--source", "cdnow", "--mapping", "cdnow", "--json")
    outcome = await tierwise(environment, "import", first, *options)
    assert outcome.status == 0, outcome.err
    said = json.loads(outcome.out)
    assert (said["rows"], said["accepted"], said["rejected"], said["known"]) == (560, 560, 0, 0)
    outcome = await tierwise(environment, "import", second, *options, "--batch-size", "37")
    assert outcome.status == 0, outcome.err
    records = await on_the_stream(settings, engine, vault)
    assert len(records) == 1120
    by_id = {interaction.id: interaction for _, interaction in records}
    assert len(by_id) == 560
    alike = {(i.id, i.time, i.identifiers["user_id"], i.properties["amount"]) for _, i in records}
    assert len(alike) == 560


async def test_records_are_keyed_as_ingest_keys_them_and_quiet_is_kept(
    environment: dict[str, str], settings: Settings, engine: AsyncEngine, vault: Vault, tmp_path: Path
) -> None:
    file = tmp_path / "orders.txt"
    file.write_text("\n".join([HEADER, *ORDERS[:5]]))
    arguments = ("import", file, "--source", "cdnow", "--mapping", "cdnow", "--quiet")
    outcome = await tierwise(environment, *arguments)
    assert outcome.status == 0, outcome.err
    assert "5 interactions accepted" in outcome.out
    records = await on_the_stream(settings, engine, vault)
    assert all(key == vault.identifier_hash(*strongest(interaction.identifiers)) for key, interaction in records)
    assert all(interaction.quiet and interaction.links for _, interaction in records)
    async with engine.connect() as connection:
        assert list(await connection.scalars(select(sources.c.name))) == ["cdnow"]


async def test_rejected_rows_are_told_with_line_field_and_reason_and_written_out(
    environment: dict[str, str], tmp_path: Path
) -> None:
    file, errors = tmp_path / "orders.txt", tmp_path / "errors.ndjson"
    bad = [f" c{number} 1997 1 1.00" for number in range(15)]
    file.write_text("\n".join([HEADER, ORDERS[0], *bad, ORDERS[1]]))
    outcome = await tierwise(
        environment, "import", file, "--source", "cdnow", "--mapping", "cdnow", "--errors", errors, "--json"
    )
    assert outcome.status == 0, outcome.err
    assert json.loads(outcome.out)["rejected"] == 15
    assert "line 3: time: column 'date'" in outcome.err
    assert "further ones are counted" in outcome.err
    written = [json.loads(line) for line in errors.read_text().splitlines()]
    assert len(written) == 15
    assert (written[0]["line"], written[0]["code"], written[0]["field"]) == (3, "unreadable", "time")


async def test_nothing_accepted_is_a_failure(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "orders.txt"
    file.write_text(f"{HEADER}\n c1 1997 1 1.00\n")
    outcome = await tierwise(environment, "import", file, "--source", "cdnow", "--mapping", "cdnow")
    assert outcome.status == 1


@pytest.mark.parametrize(
    ("name", "content", "options", "says"),
    [
        ("orders.txt", "a b\n1 2", (), "does not say what it is"),
        ("orders.csv", "a,b\n1,2", (), "the column 'a' is none of id, time"),
        ("orders.csv", "a,b\n1,2", ("--mapping", "nowhere.yaml"), "neither a file nor a ready mapping"),
    ],
)
async def test_wrong_use_is_told_before_anything_is_read(
    environment: dict[str, str], tmp_path: Path, name: str, content: str, options: tuple[str, ...], says: str
) -> None:
    file = tmp_path / name
    file.write_text(content)
    outcome = await tierwise(environment, "import", file, "--source", "shop", *options)
    assert outcome.status == 2
    assert says in outcome.err


async def test_a_dry_run_shows_interactions_and_appends_none(
    environment: dict[str, str], settings: Settings, engine: AsyncEngine, vault: Vault, tmp_path: Path
) -> None:
    file = tmp_path / "orders.txt"
    file.write_text("\n".join([HEADER, *ORDERS]))
    outcome = await tierwise(environment, "import", file, "--source", "s", "--mapping", "cdnow", "--dry-run")
    assert outcome.status == 0, outcome.err
    assert outcome.out.count('"purchase"') == 5
    assert await on_the_stream(settings, engine, vault) == []


async def test_waiting_without_scoring_says_how_much_waits(engine: AsyncEngine) -> None:
    told: list[tuple[int, int]] = []
    with pytest.raises(NotScored, match="7 records wait"):
        await wait_until_scored(
            engine,
            {Partition("here", "t1", INTERACTIONS, 0): 7},
            patience_s=0.3,
            progressed=lambda done, total: told.append((done, total)),
        )
    assert told[0] == (0, 7)


SHOP = """
time: {column: at, zone: UTC}
identifiers: {user_id: {column: who}}
interactions:
  - {id: {column: order}, channel: order, type: purchase, properties: {amount: {column: total, as: money}}}
"""


class Shop(NamedTuple):
    """Files of orders, imported and scored."""

    environment: dict[str, str]
    product: Product
    directory: Path

    async def run(self, *arguments: object) -> Any:
        """In this process: so it takes a tenth of the time."""
        given = ["import", *map(str, arguments), "--json"]
        outcome = await asyncio.to_thread(CliRunner(env=self.environment).invoke, build(), given)
        assert outcome.exit_code == 0, outcome.output
        return json.loads(outcome.stdout[outcome.stdout.index("{") :]) | {"told": outcome.stderr}

    async def importing(self, lines: str, *options: object) -> Any:
        file, mapping = self.directory / "orders.csv", self.directory / "shop.yaml"
        file.write_text("order,who,at,total\n" + lines.replace(" ", "\n"))
        mapping.write_text(SHOP)
        said = await self.run(file, "--source", "shop", "--mapping", mapping, *options)
        if "--replace" not in options:
            await self.product.score()
        return said

    async def undo(self, batch: str) -> Any:
        said = await self.run("--undo", batch)
        await self.product.score()
        return said

    async def amounts(self) -> dict[str, str]:
        return {
            view["identifiers"][0]["value"]: view["orders"]["amount"]
            for view in await views(self.product.engine, self.product.vault)
        }


@pytest.fixture
async def shop(
    environment: dict[str, str], settings: Settings, engine: AsyncEngine, vault: Vault, tmp_path: Path
) -> AsyncIterator[Shop]:
    async with open_stream(settings, engine, vault) as stream:
        yield Shop(environment, Product(engine, stream, vault, settings), tmp_path)


async def test_an_import_is_taken_back_by_its_name_and_can_come_again(shop: Shop) -> None:
    await shop.importing("1,u1,2026-01-05,10.00", "--batch", "january")
    await shop.importing("2,u1,2026-02-05,7.00 3,u2,2026-02-06,5.00", "--batch", "february")
    assert await shop.amounts() == {"u1": "17.00", "u2": "5.00"}
    assert (await shop.undo("february"))["interactions"] == 2
    assert await shop.amounts() == {"u1": "10.00"}
    assert (await shop.undo("february"))["interactions"] == 0
    assert await shop.amounts() == {"u1": "10.00"}
    said = await shop.importing("2,u1,2026-02-05,8.00", "--batch", "february")
    assert (said["accepted"], said["known"]) == (1, 0)
    assert await shop.amounts() == {"u1": "18.00"}
    stored = {one.batch: one.interactions for one in await stored_batches(shop.product.engine)}
    assert stored == {"january": 1, "february": 1}


async def test_a_file_takes_the_place_of_another_one(shop: Shop) -> None:
    await shop.importing("1,u1,2026-01-05,10.00 2,u2,2026-01-06,20.00", "--batch", "january")
    member = worker(shop.product.engine, shop.product.stream, shop.product.vault, shop.product.settings)
    scoring = asyncio.create_task(member.run())
    said = await shop.importing("1,u1,2026-01-05,12.00 3,u3,2026-01-07,3.00", "--replace", "january", "--wait")
    member.stop()
    await scoring
    assert (said["batch"], said["accepted"], said["known"], said["conflicting"]) == ("january", 2, 0, 0)
    assert await shop.amounts() == {"u1": "12.00", "u3": "3.00"}


async def test_repeats_with_another_content_are_told_with_their_line(shop: Shop) -> None:
    errors = shop.directory / "errors.ndjson"
    await shop.importing("1,u1,2026-01-05,10.00 2,u1,2026-01-06,5.00")
    said = await shop.importing("1,u1,2026-01-05,10.00 2,u1,2026-01-06,6.00 3,u1,2026-01-07,1 3,u1,2026-01-07,2",
                                "--errors", errors)  # fmt: skip
    assert (said["accepted"], said["known"], said["conflicting"]) == (4, 3, 2)
    assert "line 3: id: the id '2' stands in what is stored with another content" in said["told"]
    told = [json.loads(line) for line in errors.read_text().splitlines()]
    assert [(one["line"], one["code"], one["field"]) for one in told] == [
        (3, "conflicting_repeat", "id"), (5, "conflicting_repeat", "id"),
    ]  # fmt: skip
    assert "line 4" in told[1]["detail"]
    assert await shop.amounts() == {"u1": "16.00"}


async def test_an_import_without_a_name_has_that_of_its_file_and_date(
    environment: dict[str, str], settings: Settings, engine: AsyncEngine, vault: Vault, tmp_path: Path
) -> None:
    file = tmp_path / "orders.txt"
    file.write_text("\n".join([HEADER, *ORDERS[:3]]))
    os.utime(file, (1_763_600_000, 1_763_600_000))
    outcome = await tierwise(environment, "import", file, "--source", "s", "--mapping", "cdnow")
    name = "orders.txt@2025-11-20T00:53:20Z"
    assert f'Batch: {name} (to take it back: tierwise import --undo "{name}")' in outcome.out
    assert {interaction.batch for _, interaction in await on_the_stream(settings, engine, vault)} == {name}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "which file?"),
        (("--undo", "january", "orders.csv"), "takes no FILE"),
        (("orders.csv", "--source", "s", "--batch", "a", "--replace", "b"), "names the batch already"),
        (("orders.csv",), "whose data is it?"),
        (("orders.csv", "--source", "profile-api"), "name: profile-api stands for what people write back"),
        (("orders.csv", "--source", "s", "--batch", "x" * 129), "1 to 128 characters"),
    ],
)
def test_what_does_not_go_together_is_said(arguments: tuple[str, ...], says: str) -> None:
    outcome = CliRunner().invoke(build(), ["import", *arguments])
    assert outcome.exit_code == 2
    assert says in " ".join(outcome.output.replace("│", " ").split())


async def test_a_name_that_nobody_knows_is_answered_with_those_that_are(shop: Shop) -> None:
    await shop.importing("1,u1,2026-01-05,10.00", "--batch", "january")
    outcome = await tierwise(shop.environment, "import", "--undo", "janury")
    assert outcome.status == 1
    assert "there is no import 'janury'; the latest ones are: january" in outcome.err


def test_the_schema_of_mappings_is_printed_for_editors() -> None:
    outcome = CliRunner().invoke(build(), ["import", "--mapping-schema"])
    assert json.loads(outcome.output)["title"] == "Tierwise mapping"
