"""A file classified without any service says what the services say of it; the rulebook in force is shown."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from tests.support.command import tierwise
from tests.support.scoring import score, views
from tierwise.cli import build
from tierwise.db.tables import customers
from tierwise.domain.rulebook import default_text
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise_embedded.simulate.traffic import simulate

CUSTOMERS = 60


@pytest.fixture
def traffic(tmp_path: Path) -> Path:
    """What simulated customers did in half a year, as it arrived: late, repeated, with identifiers that tie."""
    now = datetime.now(UTC)
    items = []
    for item in simulate(CUSTOMERS, 11, now):
        if datetime.fromisoformat(item["time"]) >= now:
            break
        items.append(item)
    file = tmp_path / "traffic.ndjson"
    file.write_bytes(msgspec.json.Encoder().encode_lines(items))
    return file


async def test_classifying_a_file_gives_what_importing_and_scoring_it_gives(
    settings: Settings, engine: AsyncEngine, vault: Vault, traffic: Path, tmp_path: Path
) -> None:
    outcome = await tierwise(settings, "import", str(traffic), "--source", "shop", "--json")
    assert outcome.status == 0, outcome.stderr
    async with open_stream(settings, engine, vault) as stream:
        await score(engine, stream, vault, settings, workers=2)
    async with engine.connect() as connection:
        moment = (await connection.execute(select(func.max(customers.c.classified_at)))).scalar_one()
    served = await views(engine, vault)
    output = tmp_path / "out.ndjson"
    arguments = ["classify", str(traffic), "--as-of", moment.isoformat(), "--source", "shop", "-o", str(output)]
    result = CliRunner().invoke(build(), arguments)
    assert result.exit_code == 0, result.output
    rows = [comparable(json.loads(line)) for line in output.read_bytes().splitlines()]
    assert len(rows) > CUSTOMERS / 2
    assert any(len(row["identifiers"]) > 1 for row in rows)
    assert sorted(rows, key=msgspec.json.encode) == served


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """Without what two runs need not agree on, and what only a classified file has."""
    for name in ("customer_id", "version", "classified_at", "as_of"):
        row.pop(name)
    row["lifecycle"].pop("since")
    row["intent"].pop("points")
    return row


async def test_the_rulebook_in_force_is_shown_and_compared_with(settings: Settings, tmp_path: Path) -> None:
    outcome = await tierwise(settings, "rulebook", "show", "--json")
    assert outcome.status == 0, outcome.stderr
    assert "purchase" in json.loads(outcome.stdout)["signals"]
    changed = tmp_path / "changed.yaml"
    changed.write_text(default_text().replace("half_score: 40", "half_score: 41"))
    outcome = await tierwise(settings, "rulebook", "diff", str(changed), "--json")
    assert outcome.status == 0, outcome.stderr
    (difference,) = json.loads(outcome.stdout)["differences"]
    assert (difference["name"], difference["old"], difference["new"]) == ("intent.half_score", "40", "41")
