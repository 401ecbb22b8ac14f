"""Rows of the table `changes`: what became of customers, numbered without gap for each of them, with its cause."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby, repeat
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tierwise.domain.change import MERGE, Changes, differences
from tierwise.domain.classify import Classifications
from tierwise.domain.rulebook import Rulebook
from tierwise_scoring.relay import shard_of

ChangeRow = tuple[Any, ...]
"""As store.CHANGE_COLUMNS names them."""


class Cause(NamedTuple):
    """`kind`: as in the table `changes`; `interaction` and `source_id`: None where no interaction was the cause."""

    kind: str
    interaction: str | None
    source_id: int | None
    quiet: bool


class Found(NamedTuple):
    """A change that has no number yet. `customer`: index; `score`: tenths; `merged`: the other customer's id, where two
    were merged or split."""

    customer: int
    aspect: str
    old: str | None
    new: str | None
    score: int | None
    merged: int | None
    reasons: bytes


def merge_of(winner: int, loser_id: int) -> Found:
    """`winner`: the index of the customer that the loser was merged into."""
    return Found(winner, MERGE, None, None, None, loser_id, b"")


def found_in(
    before: npt.NDArray[np.void],
    known: npt.NDArray[np.bool_],
    after: Classifications,
    rulebook: Rulebook,
    *,
    of: npt.NDArray[np.bool_],
) -> Iterator[Found]:
    """What changed of the customers in the mask `of`, aspect by aspect; the rest as for `differences`."""
    return found_of(differences(before, known, after, rulebook), of=of)


def found_of(changes: Iterable[Changes], *, of: npt.NDArray[np.bool_]) -> Iterator[Found]:
    """The same, one by one, of the customers in the mask `of`."""
    every = bool(of.all())
    wanted = of.tolist()
    for change in changes:
        columns = (change.customer.tolist(), repeat(change.aspect), change.old, change.new, change.score, repeat(None))
        found = map(Found, *columns, change.reasons)
        yield from found if every else (one for one in found if wanted[one.customer])


def change_rows(
    found: Iterable[Found],
    ids: Sequence[int],
    sequences: Sequence[int],
    cause_of: Callable[[int], Cause],
    *,
    at: datetime,
    named: tuple[int, int | None],
) -> list[ChangeRow]:
    """By customer, each one's in the order given. `ids`, `sequences` (of the last change so far) and `cause_of` are
    by the customer's index; `at`: when it takes effect; `named`: the numbers of the rulebook and its cuts."""
    rows: list[ChangeRow] = []
    for index, several in groupby(sorted(found, key=itemgetter(0)), itemgetter(0)):
        id_, sequence = ids[index], sequences[index]
        shard, cause = shard_of(id_), cause_of(index)
        for number, (_, aspect, old, new, score, merged, reasons) in enumerate(several, start=sequence + 1):
            rows.append(
                (id_, number, shard, aspect, old, new, score, merged, at, *named,
                 cause.kind, cause.interaction, cause.source_id, reasons, cause.quiet)
            )  # fmt: skip
    return rows
