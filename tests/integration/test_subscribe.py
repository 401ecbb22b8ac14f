"""`tierwise subscribe` as people and programs use it, on the embedded stream."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.services import Deployment
from tests.support.subscribing import PATIENCE_S, data_of, subscribed, tier_event
from tierwise.domain.customer_id import public_id
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise.stream.port import Slice, Stream
from tierwise.stream.positions import ends_of, format_positions, parse_positions
from tierwise.stream.topics import TIER_CHANGES
from tierwise.subscribing.follow import Following, PositionGone


@pytest.fixture
async def stream(engine: AsyncEngine, vault: Vault, settings: Settings) -> AsyncIterator[Stream]:
    async with open_stream(settings, engine, vault) as stream:
        yield stream


@pytest.fixture
def deployment(tmp_path: Path, database: str) -> Deployment:
    return Deployment(tmp_path, database, None)


async def test_it_prints_from_where_it_is_told_until_ctrl_c_which_says_where_to_go_on(
    stream: Stream, deployment: Deployment
) -> None:
    await stream.append(TIER_CHANGES, [tier_event(1, 1, None, "D"), tier_event(2, 1, None, "C")])
    async with subscribed(deployment, TIER_CHANGES, "--from", "beginning", "--customer", public_id(1)) as people:
        await people.until(lambda lines: len(lines) == 1)
        await stream.append(TIER_CHANGES, [tier_event(2, 2, "C", "B"), tier_event(1, 2, "D", "A")])
        first, second = await people.until(lambda lines: len(lines) == 2)
        assert re.fullmatch(rf"2026-11-20T12:00:00Z  {public_id(1)}\s+tier\s+- → D  67.5", first)
        assert "D → A" in second
        said = await people.interrupt()
    [positions] = re.findall(r"go on with --from (\S+)", said)
    await stream.append(TIER_CHANGES, [tier_event(1, 3, "A", "B")])
    async with subscribed(deployment, TIER_CHANGES, "--from", positions, "--json") as program:
        [line] = await program.until(lambda lines: len(lines) >= 1)
    event = msgspec.json.decode(line)
    assert (event["id"], event["type"]) == (f"{public_id(1)}:3", "tierwise.customer.tier-changed.v1")
    assert event["specversion"] == "1.0"
    assert event["data"]["to"] == "B"
    assert data_of(line) == event["data"]


async def test_a_topic_that_there_is_not_is_answered_with_those_that_there_are(deployment: Deployment) -> None:
    done = await deployment.run("subscribe", "customer.teir-changes")
    assert done.status == 2
    assert "customer.tier-changes" in done.stderr
    done = await deployment.run("subscribe", TIER_CHANGES, "--from", "customer.merges=0.0")
    assert done.status == 2
    assert "these positions are of customer.merges" in done.stderr


async def read(following: Following, count: int) -> list[Slice]:
    found: list[Slice] = []
    async with asyncio.timeout(PATIENCE_S):
        async for one in following.slices():
            found.append(one)
            if sum(len(part.records) for part in found) >= count:
                break
    return found


async def test_positions_that_the_topic_holds_no_more_are_refused_and_its_beginning_is_what_is_left(
    stream: Stream,
) -> None:
    before = await ends_of(stream, [TIER_CHANGES])
    await stream.append(TIER_CHANGES, [tier_event(1, 1, None, "D")])
    await stream.append(TIER_CHANGES, [tier_event(1, 2, "D", "C")])
    [index] = [index for index, end in enumerate((await ends_of(stream, [TIER_CHANGES]))[TIER_CHANGES]) if end]
    await stream.trim(TIER_CHANGES, {index: 1})

    [left] = await read(Following(stream, TIER_CHANGES, []), 1)
    assert [record.position for record in left.records] == [1]
    with pytest.raises(PositionGone, match="take a new export"):
        await read(Following(stream, TIER_CHANGES, before[TIER_CHANGES]), 1)


def test_positions_are_one_text() -> None:
    positions = {"customer.tier-changes": [12, 0, 7], "customer.merges": [3]}
    text = "customer.tier-changes=12.0.7,customer.merges=3"

    assert format_positions(positions) == text
    assert parse_positions(text) == positions
    for wrong in ("", "x", "a=", "a=1.", "a=-1", "a=1,,b=2", "a=1;b=2"):
        with pytest.raises(ValueError, match="is no TOPIC=POSITION"):
            parse_positions(wrong)
