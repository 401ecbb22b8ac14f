"""What the clients say: each batch the same for the same seed, client and number, so that nobody has to keep it.

People come and go as the numbers rise. Each is known by several identifiers, of which an interaction has one or two,
and every tenth shares an e-mail with the next: so customers are found, tied together and merged all the time, by
clients that know nothing of each other and in partitions of their own.
"""

import random
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from tierwise.domain.source import BY_HAND

NATIVE = ("web", "shop", "desk")
SEGMENT = "app"
CLIENTS = (*NATIVE, SEGMENT)
WRITER = "person"
READER = "torture"
"""The name of the read key, which is the author of what is written back."""
ITEMS_MAX = 16

RULINGS = frozenset({"split", "block", "unblock"})
UNCOUNTED = frozenset({"override", "attributes", "take back"})
"""Forms of what is written back that are on the timeline, and are nothing that a customer did."""

Item = dict[str, Any]

_FORMS = ("note", "override", "attributes", "split", "note", "block", "take back", "unblock")
_PEOPLE_A_BATCH = 2
_SHARING = 10  # every so many-th person shares an e-mail with the next
_AROUND = 50  # people: how far a client's people are from those of its first batch of that number
_DAYS = 400
_DEVICES = 3


class Script:
    """`until`: no interaction is later. The time of the run's beginning, aware."""

    def __init__(self, seed: int, until: datetime) -> None:
        self._seed, self._until = seed, until

    def native(self, client: str, number: int) -> list[Item]:
        """A request to /v1/interactions."""
        draw = self._draw(client, number)
        return [
            {"id": f"{client}-{number}-{index}", "time": self._time(draw).isoformat(), **self._happened(draw, number)}
            for index in range(draw.randint(1, ITEMS_MAX))
        ]

    def segment(self, number: int) -> Iterator[Mapping[str, Any]]:
        """Calls of `track` of the SDK."""
        draw = self._draw(SEGMENT, number)
        for index in range(draw.randint(1, ITEMS_MAX)):
            who = _somebody(draw, number)
            yield {
                "user_id": f"u{who}",
                "anonymous_id": f"a{who}-{draw.randrange(_DEVICES)}",
                "event": draw.choice(["Product Viewed", "Order Completed"]),
                "properties": {"revenue": draw.randrange(1, 50_000) / 100, "currency": "CNY", "category": "books"},
                "timestamp": self._time(draw),
                "message_id": f"{SEGMENT}-{number}-{index}",
            }

    def ids(self, client: str, number: int) -> list[tuple[str, str]]:
        """(source, id) of each interaction of a batch, and of what was written back."""
        if client == WRITER:
            return [(BY_HAND, f"{READER}:{write_id(number)}")]
        return [
            (client, f"{client}-{number}-{index}") for index in range(self._draw(client, number).randint(1, ITEMS_MAX))
        ]

    def someone(self, draw: random.Random, number: int) -> tuple[str, str]:
        """An identifier of somebody whom batches of this number are about."""
        return "user_id", f"u{_somebody(draw, number)}"

    def sharing(self, draw: random.Random, number: int) -> int:
        """The first of two people who share an e-mail, of those whom batches of this number are about."""
        return _somebody(draw, number) // _SHARING * _SHARING

    def _draw(self, client: str, number: int) -> random.Random:
        return random.Random(f"{self._seed}/{client}/{number}")

    def _time(self, draw: random.Random) -> datetime:
        return self._until - timedelta(seconds=draw.randrange(60 * 60 * 24 * _DAYS))

    def _happened(self, draw: random.Random, number: int) -> Item:
        who = _somebody(draw, number)
        item: Item = {"identifiers": _identifiers(draw, who), **draw.choice(_KINDS)(draw)}
        if draw.random() < 0.2:
            item["attributes"] = {"region": draw.choice(["CN-31", "CN-11", "CN-44"]), "name": f"n{draw.randrange(99)}"}
        if draw.random() < 0.2:
            item["updates"] = {"add": {"points": draw.randrange(1, 9)}}
        return item


def form_of(number: int) -> str:
    """What the writer's write of this number is: what is written of whom, and rulings which the script does not know,
    depend on who is known by then."""
    return _FORMS[number % len(_FORMS)]


def write_id(number: int) -> str:
    """The id that the writer gives it."""
    return f"write-{number}"


def mailbox_of(sharing: int) -> str:
    """That of two people."""
    return f"e{sharing}@example.com"


def own_identifiers(who: int) -> set[tuple[str, str]]:
    """Those that nobody else has."""
    anonymous = {("anonymous_id", f"a{who}-{device}") for device in range(_DEVICES)}
    return {("user_id", f"u{who}"), ("phone", _phone(who)), *anonymous}


def is_ruled_of(value: str) -> bool:
    """Whether rulings are made of the person of this `user_id`."""
    return int(value.removeprefix("u")) % _SHARING in (0, 1)


def _phone(who: int) -> str:
    return f"+86138{who:08}"


def _somebody(draw: random.Random, number: int) -> int:
    return max(0, number * _PEOPLE_A_BATCH + draw.randrange(-_AROUND, _AROUND))


def _identifiers(draw: random.Random, who: int) -> dict[str, str]:
    shared = who - 1 if who % _SHARING == 1 else who
    every = {
        "user_id": f"u{who}",
        "email": mailbox_of(shared),
        "phone": _phone(who),
        "anonymous_id": f"a{who}-{draw.randrange(_DEVICES)}",
    }
    return {kind: every[kind] for kind in draw.sample(list(every), draw.choice([1, 1, 2]))}


def _page_view(draw: random.Random) -> Item:
    path = draw.choice(["/pricing", "/", "/courses/12"])
    return {"channel": "web", "type": "page_view", "properties": {"path": path}}


def _purchase(draw: random.Random) -> Item:
    amount = f"{draw.randrange(1, 90_000) / 100:.2f}"
    return {"channel": "order", "type": "purchase", "properties": {"amount": amount, "currency": "CNY", "items": 2}}


def _click(draw: random.Random) -> Item:
    return {"channel": "email", "type": "clicked", "properties": {"url": f"https://example.com/{draw.randrange(9)}"}}


def _call(draw: random.Random) -> Item:
    return {"channel": "call", "type": "completed", "properties": {"duration_s": draw.randrange(10, 600)}}


_KINDS = (_page_view, _page_view, _purchase, _click, _call)
