"""Signals that no rulebook names: interests, by value, and amounts in a currency without a rate.

They share the ledger. Ids have 28 bits: named signals stand below UNCONVERTED, currencies from there on, spelt out, so
that they can be read back, and interests from INTERESTS on, hashed, so that which ones are kept does not depend on
which came first. A rulebook that lists its interests names them, and has none of the latter.
"""

from collections.abc import Collection
from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import numpy as np

from tierwise.domain.amount import is_currency
from tierwise.domain.ledger import SIGNAL_BITS, Ledgers, empty, fold, signal_id
from tierwise.domain.rulebook.book import OTHER, interest_name
from tierwise.domain.runs import run_starts

UNCONVERTED: Final = 1 << (SIGNAL_BITS - 2)
INTERESTS: Final = 1 << (SIGNAL_BITS - 1)
OTHER_INTEREST: Final = signal_id(interest_name(OTHER))

INTEREST_NAMES: Final = "interests.named"
"""The attribute that has the names of a customer's interests, where they are kept by hash; its prefix is reserved."""

INTERESTS_KEPT: Final = 200
"""Of one customer: those with the least ids."""

INTEREST_CHARS_MAX: Final = 100
"""A longer value is no name of an interest, and counts as OTHER."""

_LETTERS: Final = 26


@lru_cache(maxsize=65_536)
def interest_id(value: str) -> int:
    """The stable id of an interest, made from its value: BLAKE2b, in the upper half of the ids."""
    if not value or value == OTHER or len(value) > INTEREST_CHARS_MAX:
        return OTHER_INTEREST
    return INTERESTS | int.from_bytes(blake2b(value.encode(), digest_size=4).digest(), "little") >> (33 - SIGNAL_BITS)


def kept_interests(values: Collection[str]) -> list[str]:
    """Those with the least ids, in their order: the names of what `keep_interests` keeps."""
    return sorted(values, key=lambda value: (interest_id(value), value))[:INTERESTS_KEPT]


def unconverted_id(currency: str) -> int | None:
    """The id of amounts in a currency, of three capital letters; None: it is no such name."""
    if not is_currency(currency):
        return None
    code = 0
    for letter in currency:
        code = code * _LETTERS + ord(letter) - ord("A")
    return UNCONVERTED | code


def unconverted(ledgers: Ledgers, today: int) -> list[dict[str, int]]:
    """By customer, how many amounts up to a business day were in a currency without a rate, by currency."""
    found: list[dict[str, int]] = [{} for _ in range(ledgers.customers)]
    chosen = (ledgers.signal >= UNCONVERTED) & (ledgers.signal < INTERESTS) & (ledgers.day <= today)
    rows = ledgers.where(chosen)
    for customer, signal, count in zip(rows.customer.tolist(), rows.signal.tolist(), rows.count.tolist(), strict=True):
        currency = _currency_of(signal)
        found[customer][currency] = found[customer].get(currency, 0) + count
    return found


def _currency_of(signal: int) -> str:
    code, letters = signal - UNCONVERTED, ""
    for _ in range(3):
        code, letter = divmod(code, _LETTERS)
        letters = chr(ord("A") + letter) + letters
    return letters


def keep_interests(ledgers: Ledgers, at_most: int = INTERESTS_KEPT) -> Ledgers:
    """Of a customer with more different interests than `at_most`, all but those with the least ids become OTHER.

    What is dropped stays dropped, since the kept ones only ever make way for lesser ids: so keeping, folding and
    merging in any order end with the same rows.
    """
    # Interests have the greatest ids: a customer's are the last of their rows.
    same = ledgers.customer[at_most:] == ledgers.customer[:-at_most]
    if not same.any() or not (same & (ledgers.signal[:-at_most] >= INTERESTS)).any():
        return ledgers
    rows = np.flatnonzero(ledgers.signal >= INTERESTS)
    starts = run_starts(ledgers.customer[rows] << SIGNAL_BITS | ledgers.signal[rows])
    owner = ledgers.customer[rows][starts]
    rank = np.arange(len(starts)) - np.searchsorted(owner, owner)
    dropped = rows[np.repeat(rank >= at_most, np.diff(starts, append=len(rows)))]
    if not len(dropped):
        return ledgers
    signal = ledgers.signal.copy()
    signal[dropped] = OTHER_INTEREST
    return fold(empty(ledgers.customers), replace(ledgers, signal=signal))
