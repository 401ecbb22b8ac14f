"""Kills at random moments under traffic, on both streams; `make torture` makes many more of them."""

from pathlib import Path

import pytest

from tests.support.database import TestServer
from tests.torture.report import Report
from tests.torture.run import opened
from tests.torture.system import kafka_version

SEEDS = {"embedded": (48, 6), "kafka": (155, 4)}
"""And how many kills, of which each part is killed at least once; on Kafka no worker is, since others wait 10 s for its
session to run out: `make torture` does, and so does the import in test_orders."""


@pytest.mark.parametrize("stream", SEEDS)
async def test_nothing_is_lost_or_counted_twice_however_the_parts_are_killed(
    stream: str, postgres: TestServer, short_dir: Path
) -> None:
    directory = short_dir / f"torture-{stream}"
    directory.mkdir()
    seed, kills = SEEDS[stream]
    report = Report(directory / "report.jsonl", stream, seed, kafka_version())
    async with opened(report, directory, postgres) as run:
        await run.kills(kills, told=lambda _: None)
    assert report.wrong == []
    last = report.rounds[-1]
    assert last.accepted > 100
    assert last.rulings > 0
    assert last.events > 200
    assert last.digests is not None
    assert (last.lost, last.twice, last.digests[0]) == (0, 0, last.digests[1])
