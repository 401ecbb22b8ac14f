"""The traffic of a population in the order in which it arrives: late, repeated and shuffled, as in life."""

import heapq
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from tierwise_embedded.simulate.journeys import Journey, Step
from tierwise_embedded.simulate.people import draw_person

BUSINESS_ZONE = ZoneInfo("Asia/Shanghai")
REPEATED = 0.02
LATE = 0.03
_JOINED_BEFORE_START = 0.92


def simulate(population: int, seed: int, start: datetime, *, history_days: int = 180) -> Iterator[dict[str, Any]]:
    """Interactions in the native JSON form, in order of arrival, without end (until everybody has lost interest).

    `start`: aware; the customers join from `history_days` before it on, a few of them after it. The same arguments give
    the same items, whatever the clock says. Ids are unique within one seed.
    """
    begin = start.astimezone(BUSINESS_ZONE) - timedelta(days=history_days)
    order = count()
    people: list[tuple[datetime, int, Iterator[tuple[Step, dict[str, Any]]]]] = []
    for index in range(population):
        steps = _person_steps(index, seed, begin, history_days)
        joined = next(steps)[0].time
        people.append((joined, index, steps))
    heapq.heapify(people)
    chance = Random(f"{seed}:arrivals")  # noqa: S311  (traffic, no secret)
    arriving: list[tuple[datetime, int, dict[str, Any]]] = []
    while people:
        at, index, steps = people[0]
        while arriving and arriving[0][0] <= at:
            yield heapq.heappop(arriving)[2]
        following = next(steps, None)
        if following is None:
            heapq.heappop(people)
            continue
        step, item = following
        for arrival in _arrivals(step.time, chance):
            heapq.heappush(arriving, (arrival, next(order), item))
        heapq.heapreplace(people, (max(step.time, at), index, steps))
    while arriving:
        yield heapq.heappop(arriving)[2]


def _person_steps(index: int, seed: int, begin: datetime, history_days: int) -> Iterator[tuple[Step, dict[str, Any]]]:
    """First a step that only says when the person joins, then what it does."""
    random = Random(f"{seed}:{index}")  # noqa: S311  (traffic, no secret)
    person = draw_person(index, seed, random)
    span = 1.0 if random.random() < _JOINED_BEFORE_START else 1.5
    joined = begin + timedelta(days=random.uniform(span - 1.0, span) * history_days)
    yield Step(joined, "", "", {}, {}, {}), {}
    for number, step in enumerate(Journey(person, joined, random).steps()):
        yield step, _item(f"sim-{seed}-{index}-{number}", step)


def _item(id_: str, step: Step) -> dict[str, Any]:
    item: dict[str, Any] = {
        "id": id_,
        "time": step.time.isoformat(),
        "channel": step.channel,
        "type": step.type,
        "identifiers": step.identifiers,
    }
    if step.attributes:
        item["attributes"] = step.attributes
    if step.properties:
        item["properties"] = step.properties
    return item


def _arrivals(time: datetime, chance: Random) -> Iterator[datetime]:
    """When the interaction arrives: mostly within seconds, some hours or days late, a few twice."""
    arrival = time + timedelta(seconds=chance.expovariate(0.5))
    if chance.random() < LATE:
        arrival += timedelta(hours=chance.expovariate(1 / 20))
    yield arrival
    if chance.random() < REPEATED:
        yield arrival + timedelta(seconds=chance.expovariate(1 / 900))
