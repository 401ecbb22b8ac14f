"""Reading a whole file once: every interaction goes where its identifiers and its time say."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, pairwise

import numpy as np

from tierwise.classifying.histories import Folded, Histories
from tierwise.classifying.identities import Identifier, Identities, ranks
from tierwise.domain.interaction import Interaction
from tierwise.domain.ledger import Ints
from tierwise.domain.match import microseconds
from tierwise.domain.rulebook import Rulebook
from tierwise.files.ordinals import Ordinals
from tierwise.files.prepare import Preparer, Rejected
from tierwise.files.read import Rows
from tierwise.security.personal import Vault

BATCH_ROWS = 20_000


@dataclass(slots=True)
class Counts:
    """Rows read and rejected, interactions counted, those that were there before, those after the last time."""

    rows: int = 0
    rejected: int = 0
    interactions: int = 0
    duplicates: int = 0
    later: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """Some customers at one time, in the order of `strongest`, the identifier that names each of them.
    `identifiers[c]`: all that customer c had by then, by kind and value."""

    strongest: list[Identifier]
    identifiers: list[list[Identifier]]
    folded: Folded


class Gathering:
    """The state of all customers at each of several times: what came after a time does not exist for it, be it an
    interaction or what tied two customers together.

    `times`: aware, ascending. The interactions between two of them are a period; each identifier has a place a period.
    """

    def __init__(self, times: Sequence[datetime], rulebook: Rulebook, vault: Vault) -> None:
        self.times = times
        self.rulebook = rulebook
        self.counts = Counts()
        self._ends = np.array([int(time.timestamp()) * 1_000_000 + time.microsecond for time in times], np.int64)
        self._identities = Identities()
        self._histories = Histories(rulebook, vault)

    @property
    def attribute_names(self) -> set[str]:
        return self._histories.attribute_names

    def add(self, interactions: Sequence[Interaction], seen: Ordinals) -> None:
        """`seen`: knows the keys of those that came before, and learns these."""
        moments = np.fromiter(map(microseconds, interactions), np.int64, len(interactions))
        period = np.searchsorted(self._ends, moments)
        in_time = np.flatnonzero(period < len(self._ends)).tolist()
        keys = {index: interactions[index].key for index in in_time}
        new = [index for index, key in keys.items() if seen.next(key) == 0]
        self.counts.later += len(interactions) - len(in_time)
        self.counts.duplicates += len(in_time) - len(new)
        self.counts.interactions += len(new)
        if new:
            kept = [interactions[index] for index in new]
            places = self._identities.add(kept, period[new]) * len(self._ends) + period[new]
            self._histories.add(kept, places, moments[new])

    def customers(self) -> int:
        """How many there are, at all times together."""
        return sum(len(np.unique(self._identities.customers(period)[1])) for period in range(len(self.times)))

    def groups(self, period: int, at_once: int) -> Iterator[Group]:
        """Every customer at the end of the period, so many at once, by their strongest identifiers."""
        names = self._identities.identifiers()
        alphabetical, strength = ranks(names)
        by_strength = np.argsort(strength)
        present, customer = self._identities.customers(period)
        strongest = np.full(len(names), len(names))
        np.minimum.at(strongest, customer, strength[present])
        strongest = strongest[customer]  # of each identifier's customer
        order = np.lexsort((alphabetical[present], strongest))
        present, strongest = present[order], strongest[order]
        starts = np.flatnonzero(np.diff(strongest, prepend=-1))
        for first in range(0, len(starts), at_once):
            bounds = np.append(starts, len(present))[first : first + at_once + 1]
            members = present[bounds[0] : bounds[-1]]
            listed = [names[number] for number in members.tolist()]
            cuts = (bounds - bounds[0]).tolist()
            yield Group(
                [names[number] for number in by_strength[strongest[bounds[:-1]]].tolist()],
                [listed[start:end] for start, end in pairwise(cuts)],
                self._folded(members, np.diff(bounds), period),
            )

    def _folded(self, members: Ints, sizes: Ints, period: int) -> Folded:
        periods = np.arange(period + 1)
        places = (members[:, None] * len(self._ends) + periods).ravel()
        owner = np.repeat(np.repeat(np.arange(len(sizes)), sizes), len(periods))
        return self._histories.gathered(places, owner, len(sizes))


def gather(
    rows: Rows,
    preparer: Preparer,
    into: Gathering,
    *,
    rejected: Callable[[Rejected], None],
    progressed: Callable[[], None],
) -> None:
    """All of the file. Raises UnreadableFile."""
    lines = iter(rows)
    with Ordinals() as seen:
        while taken := list(islice(lines, BATCH_ROWS)):
            interactions: list[Interaction] = []
            for outcome in map(preparer, taken):
                if isinstance(outcome, Rejected):
                    into.counts.rejected += 1
                    rejected(outcome)
                else:
                    interactions += [admitted.interaction for admitted in outcome]
            into.counts.rows += len(taken)
            into.add(interactions, seen)
            progressed()
