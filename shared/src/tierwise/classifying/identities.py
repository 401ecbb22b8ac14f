"""Who is who at each of several times: identifiers that came together in an interaction are of one customer."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from tierwise.domain.interaction import IDENTIFIER_KINDS, Interaction
from tierwise.domain.ledger import Ints

_LINKS_HELD: Final = 1 << 20  # rows of new links before they are reduced to the different ones

Identifier = tuple[str, str]
"""Kind and value."""


class Identities:
    """Identifiers, numbered from 0 as they come, and in which period each first came, alone and with another one.

    Periods are numbered from 0, in the order of time. Memory: about 300 bytes an identifier, 24 a link.
    """

    def __init__(self) -> None:
        self._number: dict[Identifier, int] = {}
        self._since = np.empty(0, np.int64)
        self._links = np.empty((0, 3), np.int64)  # one identifier, the other, the period
        self._new_links: list[tuple[int, int, int]] = []

    def __len__(self) -> int:
        return len(self._number)

    def add(self, interactions: Sequence[Interaction], periods: Ints) -> Ints:
        """The number of the first identifier of each interaction, by which its customer is known later."""
        number = self._number
        owners, seen, seen_in = [], [], []
        for interaction, period in zip(interactions, periods.tolist(), strict=True):
            numbers = [number.setdefault(identifier, len(number)) for identifier in interaction.identifiers.items()]
            owners.append(numbers[0])
            seen += numbers
            seen_in += [period] * len(numbers)
            self._new_links += [(numbers[0], other, period) for other in numbers[1:]]
        grown = np.full(len(number), np.iinfo(np.int64).max)
        grown[: len(self._since)] = self._since
        np.minimum.at(grown, np.array(seen, np.int64), np.array(seen_in, np.int64))
        self._since = grown
        if len(self._new_links) > _LINKS_HELD:
            self._reduce_links()
        return np.array(owners, np.int64)

    def identifiers(self) -> list[Identifier]:
        """By number."""
        return list(self._number)

    def customers(self, period: int) -> tuple[Ints, Ints]:
        """(identifiers, customers): the numbers of all identifiers that came up to the end of the period, ascending,
        and beside each the least number of those that belong with it by then."""
        self._reduce_links()
        one, other, since = self._links.T
        tied = since <= period
        label = _components(len(self), one[tied], other[tied])
        present = np.flatnonzero(self._since <= period)
        return present, label[present]

    def _reduce_links(self) -> None:
        """Each pair once, with the first of its periods."""
        if not self._new_links:
            return
        links = np.concatenate([self._links, np.array(self._new_links, np.int64)])
        self._new_links = []
        links = links[np.lexsort((links[:, 2], links[:, 1], links[:, 0]))]
        again = (np.diff(links[:, :2], axis=0) == 0).all(axis=1)
        self._links = links[np.concatenate([[True], ~again])]


def ranks(identifiers: Sequence[Identifier]) -> tuple[Ints, Ints]:
    """The place of each identifier by kind and value, and its place by strength, the strongest kind first."""
    order = np.array(sorted(range(len(identifiers)), key=identifiers.__getitem__), np.int64)
    alphabetical = _inverse(order)
    place = {kind: index for index, kind in enumerate(IDENTIFIER_KINDS)}
    kinds = np.array([place.get(kind, len(place)) for kind, _ in identifiers], np.int64)
    return alphabetical, _inverse(np.lexsort((alphabetical, kinds)))


def _inverse(order: Ints) -> Ints:
    inverse = np.empty(len(order), np.int64)
    inverse[order] = np.arange(len(order))
    return inverse


def _components(count: int, one: Ints, other: Ints) -> Ints:
    """For each of `count` nodes the least node that it is connected with: roots are hooked to lower ones all at
    once, then every node is brought to its root (Shiloach and Vishkin, without the randomness)."""
    label = np.arange(count)
    while True:
        left, right = label[one], label[other]
        apart = left != right
        if not apart.any():
            return label
        one, other = one[apart], other[apart]
        left, right = left[apart], right[apart]
        np.minimum.at(label, np.maximum(left, right), np.minimum(left, right))
        while not np.array_equal(above := label[label], label):
            label = above
