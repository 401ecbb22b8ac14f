"""`tierwise import` against a real database and the embedded stream."""

import asyncio
import gzip
import json
import os
import random
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.database import SECRET_KEY
from tests.support.ingest import appended_records
from tierwise.db.tables import sources
from tierwise.domain.interaction import Interaction, decode, strongest
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.port import Partition
from tierwise.stream.topics import INTERACTIONS
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
    assert json.loads(outcome.out) | {"seconds": 0} == {"rows": 560, "accepted": 560, "rejected": 0, "seconds": 0}
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
