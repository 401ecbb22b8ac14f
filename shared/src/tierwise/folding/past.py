"""A customer as of any time: what is stored of them up to then, folded, and classified as it was done then.

Event time decides, and what is known today: an interaction that came late counts at its own time, and so does who the
customer is. What was published then is in the changes.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np

from tierwise.domain import attributes, ledger, packed_ledger
from tierwise.domain.attributes import Attributes
from tierwise.domain.classify import Classifications, attribute_columns, classify
from tierwise.domain.explain import explain
from tierwise.domain.explanation import Explanation
from tierwise.domain.interaction import Interaction
from tierwise.domain.rulebook import Rulebook
from tierwise.folding.checkpoints import Checkpoint
from tierwise.folding.fold import fold
from tierwise.security.personal import Vault


@dataclass(frozen=True, slots=True)
class State:
    """One customer at `time`. `ledger`: packed; `interactions`: how many there were by then."""

    time: datetime
    ledger: bytes
    attributes: Attributes
    first_seen: datetime
    last_seen: datetime
    interactions: int


def states(
    history: Sequence[Interaction],
    times: Sequence[datetime],
    rulebook: Rulebook,
    vault: Vault,
    checkpoint: Checkpoint | None = None,
) -> list[State]:
    """At each of `times`, which ascend; none at times before the first interaction. `history`: by time. `checkpoint`:
    of what came before all of `times` and is not in `history`."""
    moments = [one.time for one in history]
    held = (packed_ledger.pack(ledger.empty(1), rulebook.fold_version), [attributes.pack({})])
    summed, seen = 0, []
    if checkpoint is not None:
        held = [checkpoint.ledger], [checkpoint.attributes]
        summed, seen = checkpoint.interactions, [checkpoint.first_seen, checkpoint.last_seen]
    found, done = [], 0
    for time in times:
        end = bisect_right(moments, time)
        if end > done:
            owner = np.zeros(end - done, np.int64)
            folded = fold(history[done:end], owner, held, np.zeros(1, np.int64), rulebook, vault)
            packed = [attributes.pack(one) for one in folded.attributes]
            held, done = (packed_ledger.pack(folded.ledgers, rulebook.fold_version), packed), end
        if summed + done:
            [rows], [known] = held
            bounds = [*seen, *moments[:done][:1], *moments[:done][-1:]]
            found.append(State(time, rows, attributes.unpack(known), min(bounds), max(bounds), summed + done))
    return found


def classified(state: State, rulebook: Rulebook) -> Classifications:
    """Of one customer, overrides of then included."""
    columns = attribute_columns([state.attributes], rulebook)
    return classify(packed_ledger.unpack([state.ledger]), columns, state.time, rulebook)


def explained(state: State, now: datetime, rulebook: Rulebook) -> Explanation:
    """Why it is classified so at `now`."""
    return explain(packed_ledger.unpack([state.ledger]), attribute_columns([state.attributes], rulebook), now, rulebook)


class Came(NamedTuple):
    """When a rulebook came in force, or cuts of it did. `number`: of the rulebook, or of the cuts of `rulebook`."""

    number: int
    rulebook: int
    at: datetime


def named_at(time: datetime, rulebooks: Sequence[Came], cuts: Sequence[Came]) -> tuple[int, int | None]:
    """The rulebook in force at a time and its cuts, as rows name them; before the first rulebook, that one. Both by
    number; `rulebooks` has one at least."""
    rulebook = next((one.number for one in reversed(rulebooks) if one.at <= time), rulebooks[0].number)
    taken = (one.number for one in reversed(cuts) if one.rulebook == rulebook and one.at <= time)
    return rulebook, next(taken, None)
