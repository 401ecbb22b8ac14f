"""Tiers as shares of the customers: what a document may say of them, and what it comes to."""

from collections.abc import Iterator
from itertools import accumulate

from tierwise.domain.rulebook.book import Shares
from tierwise.domain.rulebook.check import unknown
from tierwise.domain.rulebook.schema import Tiers, percent

_EVERYONE = 10_000


def shares_of(tiers: Tiers) -> Shares | None:
    """None: tiers are cut at fixed scores. `tiers`: without errors."""
    if tiers.shares is None:
        return None
    given = tiers.shares
    return Shares(tuple(accumulate(given.of_customers.values())), given.taken, given.quiet)


def share_errors(tiers: Tiers) -> Iterator[str]:
    """All that is wrong with the shares, each with its place."""
    if tiers.shares is None:
        return
    place, given, cuts = "tiers.shares.of_customers", tiers.shares.of_customers, tiers.cuts
    for name in given:
        if name == tiers.otherwise:
            yield f"{place}.{name}: is who is left: give shares to the other tiers only"
        elif name not in cuts:
            yield f"{place}.{name}: {unknown('tier', name, cuts)}"
    if missing := [name for name in cuts if name not in given]:
        yield f"{place}: no share for {', '.join(missing)}: every tier of tiers.cuts needs one"
    elif [name for name in given if name in cuts] != list(cuts):
        yield f"{place}: go from the highest tier down, as tiers.cuts: {', '.join(cuts)}"
    if (whole := sum(given.values())) > _EVERYONE:
        yield f"{place}: add up to {percent(whole)}, more than all customers"
