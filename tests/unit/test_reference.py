"""Random histories: the kernel and the reference agree on every customer, exactly."""

from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random

import pytest

from tests.support.histories import random_history
from tests.support.kernel import attributes_of_all, classify_all, distinct, fold_all, read
from tests.support.random_rulebooks import random_rulebook
from tests.support.reference import reference
from tierwise.domain import attributes as attribute
from tierwise.domain import packed_ledger
from tierwise.domain.rulebook import Rulebook
from tierwise.domain.rulebook.load import default_text, load
from tierwise.domain.view import StoredCustomer, current_view

NOWS = {
    "Asia/Shanghai": ["2026-11-20T12:00:00+08:00", "2025-12-31T23:59:59.999999+08:00"],
    # Midnight of 2018-11-04 did not exist there; 2018-02-17 had its last hour twice.
    "America/Sao_Paulo": ["2018-11-04T03:00:00Z", "2018-11-20T12:00:00Z", "2018-02-18T02:30:00Z"],
    "Europe/Berlin": ["2024-10-27T23:30:00+01:00", "2024-04-02T00:00:00+02:00", "2025-11-30T10:00:00+01:00"],
    "UTC": ["2025-03-01T00:00:00Z"],
    "Asia/Kathmandu": ["2025-02-28T18:14:59Z"],
}
DEFAULT_ZONES = [*NOWS]
RANDOM_RULEBOOKS = 60


@cache
def default_rulebook(zone: str) -> Rulebook:
    return load(default_text().replace("timezone: Asia/Shanghai", f"timezone: {zone}"))


def agree(random: Random, rulebook: Rulebook, zone: str, customers: int) -> None:
    now = datetime.fromisoformat(random.choice(NOWS[zone])).astimezone(UTC)
    histories = [random_history(random, now, rulebook.days.zone) for _ in range(customers)]
    found = classify_all([distinct(history) for history in histories], now, rulebook)
    for history, result in zip(histories, found.result, strict=True):
        expected = reference(history, now, rulebook)
        assert read(result, rulebook, expected.interests) == expected, (now, sorted(history, key=lambda one: one.time))


@pytest.mark.parametrize("zone", DEFAULT_ZONES)
@pytest.mark.parametrize("part", range(4))
def test_the_default_rulebook_gives_what_the_reference_gives(zone: str, part: int) -> None:
    agree(Random(f"{zone} {part}"), default_rulebook(zone), zone, customers=200)


@pytest.mark.parametrize("part", range(RANDOM_RULEBOOKS))
def test_random_rulebooks_give_what_the_reference_gives(part: int) -> None:
    random = Random(part)
    zone = random.choice(sorted(NOWS))
    agree(random, load(random_rulebook(random, zone)), zone, customers=100)


def test_the_view_lists_the_interests_that_the_reference_lists() -> None:
    random, rulebook = Random(7), default_rulebook("Asia/Shanghai")
    now = datetime(2026, 11, 20, 4, tzinfo=UTC)
    histories = [distinct(random_history(random, now, rulebook.days.zone)) for _ in range(300)]
    results = classify_all(histories, now, rulebook).result
    packed = packed_ledger.pack(fold_all(histories, rulebook), rulebook.fold_version)
    for history, rows, held, result in zip(
        histories, packed, attributes_of_all(histories, rulebook), results, strict=True
    ):
        customer = StoredCustomer(
            id=1, merged_into=None, ledger=rows, attributes=attribute.pack(held), result=result.tobytes(),
            rulebook_id=1, first_seen=now, last_seen=now + timedelta(days=1), stage_since=now.date(),
            classified_at=now, sequence=0, version=1,
        )  # fmt: skip
        view = current_view(customer, identifiers=[], rulebook=rulebook, open_attributes=dict)
        expected = reference(history, now, rulebook)
        assert tuple(view["interests"]) == expected.interests
        assert read(result, rulebook, view["interests"]) == expected
