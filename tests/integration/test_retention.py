"""Retention: months past become checkpoints, and everything that folds again starts from these."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import func, select, text

from tests.support.command import tierwise
from tests.support.product import NOW, Product, history, page_view, purchase
from tests.support.releases import OTHER_SIGNALS, publish
from tests.support.scoring import keeping_up
from tests.support.scoring import scored as caught_up
from tierwise.db.engine import engine_of
from tierwise.db.rulebooks import Rulebooks
from tierwise.db.tables import checkpoints, identifiers, interactions
from tierwise.domain.interaction import Interaction
from tierwise.domain.retraction import Retraction
from tierwise.domain.retraction import encode as encode_retraction
from tierwise.domain.ruling import Kind, Named, Ruling, encode
from tierwise.stream.port import Outgoing
from tierwise.stream.topics import INTERACTIONS
from tierwise_ingest.importing.batches import stored_batches
from tierwise_scoring.digest import Digest, Digesting
from tierwise_scoring.rebuild import Rebuild, Report
from tierwise_scoring.retention import Retention

AT = datetime(2040, 1, 1, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=200)
LI, WANG = ("user_id", "li"), ("email", "wang@example.com")


def retention(product: Product, days: int | None = 100, page: int = 7) -> Retention:
    return Retention(product.engine, Rulebooks(), product.vault, days, page)


async def stored(product: Product) -> tuple[int, int]:
    """How many interactions there are, and how many are in checkpoints."""
    async with product.engine.connect() as connection:
        summed = await connection.scalar(select(func.coalesce(func.sum(checkpoints.c.interactions), 0)))
        return await product.count(interactions), int(summed or 0)


async def agrees_with_a_rebuild(product: Product) -> Report:
    report = await Rebuild(product.engine, product.vault, repair=False).everyone()
    assert report.differences == []
    assert (report.interactions - report.summed, report.summed) == await stored(product)
    return report


async def digest(product: Product) -> Digest:
    return await Digesting(product.engine, product.vault).run(AT)


async def scored(product: Product, *given: Interaction) -> None:
    await product.append(*given)
    await product.score()


async def ruled(product: Product, kind: Kind, one: tuple[str, str], *others: tuple[str, str]) -> None:
    first, *rest = (product.vault.identifier_hash(*who) for who in (one, *others))
    ruling = Ruling(
        ruling=kind,
        id=f"{kind}-{one}",
        author="li",
        time=NOW + timedelta(hours=1),
        identifiers=(first.hex(),),
        others=tuple(hash_.hex() for hash_ in rest),
        named=Named(*one),
    )
    await product.stream.append(INTERACTIONS, [Outgoing(first, encode(ruling))])
    await product.score()


@pytest.mark.parametrize("seed", range(2))
async def test_folding_again_gives_the_same_wherever_retention_came_in_between(product: Product, seed: int) -> None:
    rng = random.Random(seed)
    made = history(rng, customers=25, interactions=150)
    while made:
        part = [made.pop() for _ in range(min(len(made), rng.randint(50, 100)))]
        await scored(product, *part)
        before = await digest(product)
        await retention(product, rng.choice([31, 90, 300]), rng.choice([9, 50])).enforce(NOW)
        after = await digest(product)
        unchanged = ("identifiers", "ledgers", "attributes", "classification")
        assert [after.parts[name] for name in unchanged] == [before.parts[name] for name in unchanged]
        assert (after.customers, after.interactions) == (before.customers, before.interactions)
        await agrees_with_a_rebuild(product)
    assert (await stored(product))[1] > 60


async def test_months_that_are_wholly_older_are_dropped_and_no_others(product: Product) -> None:
    await scored(product, *(page_view(days, time=NOW - timedelta(days=days)) for days in (1, 48, 51, 80, 120)))
    assert await retention(product, 52).enforce(NOW) == 1  # July; the last of September is not that old
    assert await retention(product, 50).enforce(NOW) == 1
    assert await stored(product) == (2, 3)
    assert await retention(product, 50).enforce(NOW) == 0
    assert await retention(product, None).enforce(NOW) == 0


async def test_a_worker_that_is_killed_within_a_month_leaves_everyone_as_they_are(product: Product) -> None:
    await scored(product, *history(random.Random(5), customers=15, interactions=80))
    before = await digest(product)
    for pages in (1, 8):
        await killed_after(pages, product)
        during = await digest(product)
        assert (during.parts["ledgers"], during.interactions) == (before.parts["ledgers"], before.interactions)
        await agrees_with_a_rebuild(product)
    assert await retention(product).enforce(NOW) > 0
    assert (await digest(product)).parts["ledgers"] == before.parts["ledgers"]
    everything = await stored(product)
    assert sum(everything) == 80
    assert everything[1] > 40


async def killed_after(pages: int, product: Product) -> None:
    """Its session is ended in the middle of a page, `pages` after it began."""
    going = asyncio.create_task(retention(product, page=3).enforce(NOW))
    async with product.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        while True:
            done = await connection.scalar(text("SELECT count(*) FROM checkpoints"))
            if done is not None and done >= pages:
                break
            await asyncio.sleep(0)
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going


async def test_two_workers_at_once_count_nothing_twice(product: Product) -> None:
    await scored(product, *history(random.Random(6), customers=15, interactions=80))
    before = await digest(product)
    await asyncio.gather(retention(product).enforce(NOW), retention(product).enforce(NOW))
    assert (await digest(product)).parts["ledgers"] == before.parts["ledgers"]
    await agrees_with_a_rebuild(product)


async def test_live_scoring_and_retention_at_once_count_everything_once(product: Product) -> None:
    made = history(random.Random(7), customers=20, interactions=120)
    async with keeping_up(product.engine, product.stream, product.vault, product.settings, workers=2):
        for start in range(0, len(made), 40):
            summing = asyncio.create_task(everything_past(product))
            await product.append(*made[start : start + 40])
            await caught_up(product.engine, product.stream)
            await summing
    await everything_past(product)
    assert sum(await stored(product)) == len(made)
    await agrees_with_a_rebuild(product)


async def everything_past(product: Product) -> None:
    for _ in range(5):
        await retention(product, 31).enforce(NOW)


async def test_scoring_needs_no_other_role_for_it(product: Product, database: str) -> None:
    await scored(product, page_view(1, time=LONG_AGO))
    engine = engine_of(f"{database}&role=tierwise_scoring")
    assert await Retention(engine, Rulebooks(), product.vault, 31).enforce(NOW) == 1
    await engine.dispose()
    assert await stored(product) == (0, 1)


async def test_what_comes_late_or_again_for_a_month_that_is_gone_counts_once(product: Product) -> None:
    await scored(product, purchase(1, "10.00", time=LONG_AGO))
    assert await retention(product).enforce(NOW) == 1
    await scored(product, purchase(1, "10.00", time=LONG_AGO), purchase(2, "5.00", time=LONG_AGO))
    assert (await product.view("user_id", "u1"))["orders"]["amount"] == "15.00"
    assert await stored(product) == (1, 1)
    assert await retention(product).enforce(NOW) == 1
    assert await stored(product) == (0, 2)
    assert (await product.view("user_id", "u1"))["interactions"] == 2
    await agrees_with_a_rebuild(product)


async def test_customers_of_whom_only_sums_are_stored_merge(product: Product) -> None:
    li, wang = {"user_id": "li"}, {"email": "wang@example.com"}
    await scored(product, purchase(1, "10.00", time=LONG_AGO, identifiers=li))
    await scored(product, purchase(2, "5.00", time=LONG_AGO, identifiers=wang))
    await retention(product).enforce(NOW)
    await scored(product, page_view(3, identifiers=li | wang))
    view = await product.view(*WANG)
    assert (view["orders"]["amount"], view["interactions"]) == ("15.00", 3)
    await agrees_with_a_rebuild(product)
    await ruled(product, "split", LI, WANG)
    assert [(await product.view(*who))["orders"]["amount"] for who in (LI, WANG)] == ["10.00", "5.00"]
    await agrees_with_a_rebuild(product)


async def test_a_split_leaves_sums_whole_with_the_identifier_with_which_they_began(product: Product) -> None:
    both = {"user_id": "li", "email": "wang@example.com"}
    await scored(product, purchase(1, "10.00", time=LONG_AGO, identifiers={"user_id": "li"}))
    await scored(product, purchase(2, "5.00", time=LONG_AGO + timedelta(days=1), identifiers=both))
    await retention(product).enforce(NOW)
    await scored(product, purchase(3, "1.00", identifiers={"email": "wang@example.com"}))
    await ruled(product, "split", LI, WANG)
    assert [(await product.view(*who))["orders"]["amount"] for who in (LI, WANG)] == ["15.00", "1.00"]
    await agrees_with_a_rebuild(product)
    await retention(product).enforce(NOW + timedelta(days=200))
    assert [(await product.view(*who))["orders"]["amount"] for who in (LI, WANG)] == ["15.00", "1.00"]
    await ruled(product, "block", ("phone", "+8613800138000"))
    await ruled(product, "block", WANG)
    await agrees_with_a_rebuild(product)
    assert (await product.view(*LI))["orders"]["amount"] == "15.00"


async def test_erasing_takes_the_sums_too(product: Product) -> None:
    await scored(product, purchase(1, "10.00", time=LONG_AGO), purchase(2, "5.00"))
    await scored(product, purchase(3, "1.00", time=LONG_AGO, identifiers={"user_id": "li"}))
    await retention(product).enforce(NOW)
    await ruled(product, "erase", ("user_id", "u1"))
    assert await stored(product) == (0, 1)
    assert await product.count(identifiers) == 1
    await agrees_with_a_rebuild(product)


async def test_taking_an_import_back_leaves_what_only_sums_are_stored_of(product: Product) -> None:
    imported = [
        msgspec.structs.replace(purchase(number, "10.00", time=time), batch="march")
        for number, time in enumerate((LONG_AGO, LONG_AGO, NOW))
    ]
    await scored(product, *imported)
    await retention(product).enforce(NOW)
    value = encode_retraction(Retraction(retracted_batch="march", received_before=datetime.now(UTC)))
    partitions = await product.stream.partitions(INTERACTIONS)
    await product.stream.append(INTERACTIONS, [Outgoing(b"", value, partition=one.index) for one in partitions])
    await product.score()
    assert (await product.view("user_id", "u1"))["orders"]["amount"] == "20.00"
    [march] = await stored_batches(product.engine)
    assert (march.interactions, march.summed) == (0, 2)
    await agrees_with_a_rebuild(product)


async def test_redefined_signals_leave_sums_as_they_were_folded(product: Product) -> None:
    evening = LONG_AGO.replace(hour=9)  # in the afternoon in Shanghai: no page view by the other signals
    await scored(product, *(page_view(number, time=time) for number, time in enumerate((evening, evening, NOW, NOW))))
    await retention(product).enforce(NOW)
    await publish(product.engine, OTHER_SIGNALS)
    await scored(product, page_view(9))
    view = await product.view("user_id", "u1")
    assert view["interactions"] == 5
    await agrees_with_a_rebuild(product)


async def test_a_release_that_cannot_fold_sums_again_says_so(product: Product, tmp_path: Path) -> None:
    await scored(product, page_view(1, time=LONG_AGO))
    await retention(product).enforce(NOW)
    (tmp_path / "other.yaml").write_text(OTHER_SIGNALS)
    simulated = await tierwise(product.settings, "rulebook", "simulate", str(tmp_path / "other.yaml"))
    assert "Of 1 customers older interactions are kept as sums" in simulated.stderr
