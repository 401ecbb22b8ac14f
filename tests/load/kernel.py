"""The kernel alone, on one core: match, fold and classify, without decoding, database or stream."""

import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np

from tests.load.bench import Result, benchmark
from tierwise.domain import ledger
from tierwise.domain.classify import attribute_columns, classify
from tierwise.domain.explain import explain
from tierwise.domain.interaction import Interaction
from tierwise.domain.ledger import Ints, Ledgers
from tierwise.domain.match import match
from tierwise.domain.rulebook import Rulebook, default_text, load
from tierwise.memory import keep_freed

NOW: Final = datetime(2026, 11, 20, 4, tzinfo=UTC)
ROWS: Final = 33  # of a customer's ledger
ROUNDS: Final = 15
KINDS: Final[Sequence[tuple[str, str, dict[str, Any]]]] = (
    ("web", "page_view", {"path": "/pricing", "referrer": "https://www.baidu.com/s"}),
    ("web", "page_view", {"path": "/about"}),
    ("web", "product_view", {"category": "books"}),
    ("email", "opened", {}),
    ("email", "clicked", {"url": "https://example.com/"}),
    ("call", "completed", {"duration_s": 90}),
    ("order", "purchase", {"amount": "120.00", "items": 2, "category": "books"}),
)


@benchmark("kernel")
async def kernel() -> AsyncIterator[Result]:
    """Batches of 2,000 interactions of 1,200 customers, and of 10,000 of 6,000, each with 33 ledger rows; and what is
    done once: explaining a customer, loading the rulebook."""
    keep_freed()  # as the service does
    rulebook = load(default_text())
    for batch, customers, goal in ((2_000, 1_200, 250_000), (10_000, 6_000, 400_000)):
        rng = random.Random(batch)
        held = population(rng, customers, rulebook)
        interactions, owner = drawn(rng, batch, customers, days=60)
        attributes = attribute_columns([{}] * customers, rulebook)

        def whole(
            held: Ledgers = held,
            given: Sequence[Interaction] = interactions,
            owner: Ints = owner,
            known: Any = attributes,
        ) -> None:
            rows = match(given, rulebook)
            added = replace(rows, customers=held.customers, customer=owner[rows.customer])
            classify(ledger.fold(held, added), known, NOW, rulebook)

        def alone(held: Ledgers = held, known: Any = attributes) -> None:
            classify(held, known, NOW, rulebook)

        yield Result(name=f"kernel-{batch}", value=batch / fastest(whole), unit="interactions/s", goal=goal)
        speed = customers / fastest(alone)
        yield Result(name=f"kernel-classify-{customers}", value=speed, unit="customers/s", goal=400_000)
    one = population(random.Random(1), 1, rulebook)
    for name, goal, work in (
        ("kernel-explain", 5, lambda: explain(one, attribute_columns([{}], rulebook), NOW, rulebook)),
        ("kernel-load-rulebook", 100, lambda: load(default_text())),
    ):
        yield Result(name=name, value=fastest(work) * 1000, unit="ms", goal=goal, lower_is_better=True)


def fastest(work: Callable[[], object]) -> float:
    """CPU seconds of the fastest of some rounds, after one that warms up: what the code costs, not its neighbours."""
    work()
    spent = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return min(spent)


def population(rng: random.Random, customers: int, rulebook: Rulebook) -> Ledgers:
    """Everyone's ledgers, of about ROWS rows each. One in ten stands inside the band of a level."""
    held = ledger.empty(customers)
    while len(held) < ROWS * customers:
        interactions, owner = drawn(rng, customers, customers, days=300)
        rows = match(interactions, rulebook)
        held = ledger.fold(held, replace(rows, customers=customers, customer=owner[rows.customer]))
    return held


def drawn(rng: random.Random, count: int, customers: int, *, days: int) -> tuple[list[Interaction], Ints]:
    """Interactions of the last days, and whose they are."""
    interactions = []
    for number in range(count):
        channel, type_, properties = rng.choice(KINDS)
        moment = NOW - timedelta(seconds=rng.randrange(86_400 * days))
        interactions.append(
            Interaction(
                id=str(number), source="load", time=moment, received=moment, channel=channel, type=type_,
                identifiers={"user_id": "u"}, properties=properties,
            )
        )  # fmt: skip
    return interactions, np.array([rng.randrange(customers) for _ in range(count)], np.int64)
