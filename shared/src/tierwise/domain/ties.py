"""Ties: which identifiers of an interaction belong together, by what people have ruled, and who is who by them.

Everything here is a function of sets: the order in which interactions and rulings came makes no difference.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, TypeVar

from tierwise.domain.ruling import BLOCK, ERASE, SPLIT, UNBLOCK


class Word(NamedTuple):
    """What one ruling says of one identifier. `key`: of the ruling; `side`: of a split, 0 or 1."""

    hash: bytes
    ruling: str
    key: bytes
    side: int
    at: datetime


class Side(NamedTuple):
    """Where a split has put an identifier."""

    side: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Rulings:
    """What holds of the identifiers that anything was ruled of. `sides`: by identifier, then by the split's key.
    `erased`: up to when."""

    blocked: frozenset[bytes] = frozenset()
    sides: Mapping[bytes, Mapping[bytes, Side]] = field(default_factory=dict)
    erased: Mapping[bytes, datetime] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.blocked or self.sides or self.erased)


class Naming(NamedTuple):
    """What identity needs of an interaction. `hashes`: of its identifiers, the strongest first. Not `links`: the first
    alone says whose it is. `by_hand`: a person said it through the profile API. `time`: when it happened; `received`:
    when it arrived."""

    hashes: Sequence[bytes]
    links: bool
    by_hand: bool
    time: datetime
    received: datetime


def rulings_of(words: Iterable[Word]) -> Rulings:
    """The last of block and unblock counts, every split, and of the erasures the latest."""
    last: dict[bytes, Word] = {}
    sides: dict[bytes, dict[bytes, Side]] = {}
    erased: dict[bytes, datetime] = {}
    for word in words:
        if word.ruling in (BLOCK, UNBLOCK):
            held = last.setdefault(word.hash, word)
            last[word.hash] = max(held, word, key=lambda one: (one.at, one.key))
        elif word.ruling == SPLIT:
            sides.setdefault(word.hash, {})[word.key] = Side(word.side, word.at)
        elif word.ruling == ERASE:
            erased[word.hash] = max(erased.get(word.hash, word.at), word.at)
    blocked = frozenset(hash_ for hash_, word in last.items() if word.ruling == BLOCK)
    return Rulings(blocked, sides, erased)


def is_erased(naming: Naming, rulings: Rulings) -> bool:
    """Whether it happened, or was there, before somebody whom it names was erased."""
    whose = naming.hashes if naming.links else naming.hashes[:1]
    first = min(naming.time, naming.received)
    return any(hash_ in rulings.erased and first <= rulings.erased[hash_] for hash_ in whose)


def tie_of(naming: Naming, rulings: Rulings) -> Sequence[bytes]:
    """The identifiers that it ties together; it is of whoever has them. At least one.

    Blocked ones tie nothing; where there are no others, the strongest stands for itself. Where a split has put some
    apart, it goes with the side of the strongest. Only a merge by hand that came after a split ties again what that
    split took apart.
    """
    if not naming.links:
        return naming.hashes[:1]
    if not (rulings.blocked or rulings.sides):
        return naming.hashes
    tie: list[bytes] = []
    for hash_ in naming.hashes:
        if hash_ not in rulings.blocked and not any(_apart(hash_, one, naming, rulings) for one in tie):
            tie.append(hash_)
    return tie or naming.hashes[:1]


def _apart(one: bytes, other: bytes, naming: Naming, rulings: Rulings) -> bool:
    left, right = rulings.sides.get(one), rulings.sides.get(other)
    if left is None or right is None:
        return False
    return any(
        right[key].side != side and not (naming.by_hand and naming.time > at)
        for key, (side, at) in left.items()
        if key in right
    )


_Node = TypeVar("_Node", bound=Hashable)


def components(ties: Iterable[Sequence[_Node]]) -> dict[_Node, _Node]:
    """For each node one that stands for all that it is connected with, itself or another."""
    above: dict[_Node, _Node] = {}

    def root(node: _Node) -> _Node:
        while (parent := above.setdefault(node, node)) != node:
            above[node] = above[parent]
            node = parent
        return node

    for tie in ties:
        first = root(tie[0])
        for node in tie[1:]:
            above[root(node)] = first
    return {node: root(node) for node in list(above)}
