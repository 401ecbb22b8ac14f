"""Identity: which customer each interaction is of. All identifiers of one interaction belong to one customer, but for
what people have ruled.

Runs inside the batch's transaction. Two workers may tie the same identifiers at the same moment: inserting the same
new identifier waits for the other one's commit, a customer that was merged while its row was waited for is followed to
its winner, and one that went with an import that was taken back is no customer any more. In all cases everything is
looked up again, from what is there now.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import asyncpg
import numpy as np

from tierwise.domain.interaction import Interaction
from tierwise.domain.ledger import Ints
from tierwise.security.personal import Vault
from tierwise_scoring.customers import Customers, lock_customers, new_customer_ids
from tierwise_scoring.identifiers import (
    NewIdentifier,
    add_identifiers,
    drop_identifiers,
    find_identifiers,
    move_identifiers,
)

_ROUNDS_MAX = 20

Hashes = Sequence[Sequence[bytes]]
"""For each interaction those of identifiers, the strongest first."""


class IdentityContended(Exception):  # noqa: N818
    """Other workers kept merging the same customers: the transaction is to be tried again."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """`owner[i]`: the customer of interaction i. `customers`: everyone touched, locked; those who are new are empty.
    `merged`: (loser, winner), each loser once. `grown`: who may have identifiers that they had not."""

    owner: Ints
    customers: Customers
    merged: list[tuple[int, int]]
    grown: set[int]


@dataclass(slots=True)
class _Assignment:
    """`winner`: of each customer that is merged. `fresh`: customers for identifiers that nobody has yet."""

    winner: dict[int, int] = field(default_factory=dict)
    fresh: dict[bytes, int] = field(default_factory=dict)


async def resolve(
    tx: asyncpg.Connection, interactions: Sequence[Interaction], hashes: Hashes, tied: Hashes, vault: Vault
) -> Resolution:
    """`hashes`: of all identifiers; `tied`: of those that tie. Raises IdentityContended."""
    wanted = sorted({hash_ for group in tied for hash_ in group})
    unborn: set[int] = set()  # customers that this transaction made and nobody else has seen
    grown: set[int] = set()
    for _ in range(_ROUNDS_MAX):
        holder = await find_identifiers(tx, wanted)
        assignment = await _assign(tx, tied, holder, unborn)
        if not await add_identifiers(tx, _sealed(assignment.fresh, interactions, hashes, vault)):
            continue  # another worker was first with one of them
        dropped = [pair for pair in assignment.winner.items() if pair[0] in unborn]
        merged = [pair for pair in assignment.winner.items() if pair[0] not in unborn]
        holder |= assignment.fresh
        grown |= {*assignment.fresh.values(), *assignment.winner.values()}
        owner = np.array([_final(holder[group[0]], assignment.winner) for group in tied], np.int64)
        customers, moved = await lock_customers(tx, {*owner.tolist(), *(id_ for pair in merged for id_ in pair)})
        await move_identifiers(tx, [*dropped, *moved])
        vanished = [
            id_ for id_, born in zip(customers.ids, customers.born, strict=True) if not born and id_ not in unborn
        ]
        await drop_identifiers(tx, vanished)  # those that this transaction gave it
        if not moved and not vanished:
            return Resolution(owner, customers, merged, grown)
    raise IdentityContended("the same identifiers kept changing hands")


async def _assign(tx: asyncpg.Connection, tied: Hashes, holder: dict[bytes, int], unborn: set[int]) -> _Assignment:
    """One customer for every component of identifiers and customers that belong together."""
    assignment = _Assignment()
    ownerless = []
    for customers, identifiers in _components(tied, holder):
        if customers:
            winner = min(customers, key=lambda customer: (customer in unborn, customer))
            assignment.winner |= dict.fromkeys(customers - {winner}, winner)
            assignment.fresh |= dict.fromkeys(identifiers, winner)
        else:
            ownerless.append(identifiers)
    for customer, identifiers in zip(await new_customer_ids(tx, len(ownerless)), ownerless, strict=True):
        unborn.add(customer)
        assignment.fresh |= dict.fromkeys(identifiers, customer)
    return assignment


def _components(tied: Hashes, holder: dict[bytes, int]) -> Iterable[tuple[set[int], list[bytes]]]:
    """The customers and the identifiers without customer of each component that is not settled yet."""
    parent: dict[bytes | int, bytes | int] = {}

    def root(node: bytes | int) -> bytes | int:
        while (above := parent.setdefault(node, node)) != node:
            parent[node] = parent.setdefault(above, above)
            node = above
        return node

    for group in tied:
        held = {holder.get(hash_) for hash_ in group}
        if len(held) == 1 and None not in held:
            continue
        for hash_ in group:
            parent[root(hash_)] = root(group[0])
            if (customer := holder.get(hash_)) is not None:
                parent[root(customer)] = root(group[0])
    components: dict[bytes | int, tuple[set[int], list[bytes]]] = defaultdict(lambda: (set(), []))
    for node in list(parent):
        customers, identifiers = components[root(node)]
        if isinstance(node, int):
            customers.add(node)
        elif node not in holder:
            identifiers.append(node)
    return components.values()


def _final(customer: int, winner: dict[int, int]) -> int:
    return winner.get(customer, customer)


def _sealed(
    fresh: dict[bytes, int], interactions: Sequence[Interaction], hashes: Hashes, vault: Vault
) -> list[NewIdentifier]:
    """The rows of new identifiers, in the order of their hashes, in which every worker inserts them."""
    if not fresh:
        return []
    named = {
        hash_: item
        for one, every in zip(interactions, hashes, strict=True)
        for hash_, item in zip(every, one.named, strict=True)
        if hash_ in fresh
    }
    return [
        NewIdentifier(hash_, fresh[hash_], kind, vault.seal(value.encode(), context=kind.encode()))
        for hash_, (kind, value) in sorted(named.items())
    ]
