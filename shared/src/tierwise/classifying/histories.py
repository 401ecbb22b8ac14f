"""What has become of each customer: ledger and attributes, kept packed while a file of any length is read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tierwise.domain import attributes as attribute
from tierwise.domain import ledger, packed_ledger
from tierwise.domain.attributes import Attributes
from tierwise.domain.dynamic_signals import keep_interests
from tierwise.domain.interaction import Interaction
from tierwise.domain.learn import learned
from tierwise.domain.ledger import Ints, Ledgers
from tierwise.domain.match import match
from tierwise.domain.rulebook import Rulebook
from tierwise.security.personal import Vault
from tierwise.security.values import Sealer

_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Folded:
    """State by customer. `first_seen` and `last_seen`: microseconds since 1970 UTC."""

    ledgers: Ledgers
    attributes: list[Attributes]
    first_seen: Ints
    last_seen: Ints


class Histories:
    """The state at numbered places, each folded from its own interactions, in any order and any batches.

    Memory: about 60 bytes a place and 20 a row of its ledger. Personal values are sealed, as they are in the
    database, so that no rule sees here what it does not see there. `attribute_names`: of all that came.
    """

    def __init__(self, rulebook: Rulebook, vault: Vault) -> None:
        self._rulebook = rulebook
        self._vault = vault
        self._nothing = packed_ledger.pack(ledger.empty(1), rulebook.fold_version)[0]
        self._ledgers: list[bytes] = []
        self._attributes: dict[int, bytes] = {}
        self._first = np.empty(0, np.int64)
        self._last = np.empty(0, np.int64)
        self.attribute_names: set[str] = set()

    def add(self, interactions: Sequence[Interaction], places: Ints, moments: Ints) -> None:
        """`places[i]`: where interaction i belongs; `moments[i]`: its time, in microseconds since 1970 UTC."""
        touched, index = np.unique(places, return_inverse=True)
        self._grow(int(touched[-1]) + 1)
        held = packed_ledger.unpack([self._ledgers[place] for place in touched.tolist()])
        rows = match(interactions, self._rulebook)
        folded = ledger.fold(held, replace(rows, customers=len(touched), customer=index[rows.customer]))
        packed = packed_ledger.pack(folded, self._rulebook.fold_version)
        for place, one in zip(touched.tolist(), packed, strict=True):
            self._ledgers[place] = one
        np.minimum.at(self._first, places, moments)
        np.maximum.at(self._last, places, moments)
        self._add_attributes(interactions, places.tolist())

    def gathered(self, places: Ints, owner: Ints, customers: int) -> Folded:
        """The state of `customers` many, `owner[i]` being the one that the place i counts for."""
        some = places < len(self._ledgers)
        places, owner = places[some], owner[some]
        rows = packed_ledger.unpack([self._ledgers[place] for place in places.tolist()])
        ledgers = ledger.fold(
            ledger.empty(customers), replace(rows, customers=customers, customer=owner[rows.customer])
        )
        first, last = np.full(customers, _NEVER), np.zeros(customers, np.int64)
        np.minimum.at(first, owner, self._first[places])
        np.maximum.at(last, owner, self._last[places])
        attributes: list[Attributes] = [{} for _ in range(customers)]
        for place, customer in zip(places.tolist(), owner.tolist(), strict=True):
            if (packed := self._attributes.get(place)) is not None:
                attribute.merge(attributes[customer], attribute.unpack(packed).items())
        return Folded(keep_interests(ledgers), attributes, first, last)

    def _add_attributes(self, interactions: Sequence[Interaction], places: list[int]) -> None:
        moved: dict[int, Attributes] = {}
        for index, entries in learned(interactions, self._rulebook, Sealer(self._vault)):
            one = interactions[index]
            self.attribute_names.update(one.attributes, one.updates.names() if one.updates is not None else ())
            place = places[index]
            if place not in moved:
                packed = self._attributes.get(place)
                moved[place] = {} if packed is None else attribute.unpack(packed)
            attribute.merge(moved[place], entries)
        for place, held in moved.items():
            self._attributes[place] = attribute.pack(held)

    def _grow(self, length: int) -> None:
        if length <= len(self._ledgers):
            return
        length = max(length, len(self._ledgers) * 5 // 4)
        more = length - len(self._ledgers)
        self._ledgers += [self._nothing] * more
        self._first = np.concatenate([self._first, np.full(more, _NEVER)])
        self._last = np.concatenate([self._last, np.zeros(more, np.int64)])
