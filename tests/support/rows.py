"""Ledger rows, and strategies that draw them."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from tierwise.domain.ledger import Ledgers

CUSTOMERS = 4

Row = tuple[int, int, int, int, int, int]
"""customer, signal, day, last second, count, value."""

one_row = st.tuples(
    st.integers(0, CUSTOMERS - 1),
    st.sampled_from([0, 1, 77, (1 << 28) - 1]),
    st.integers(0, 12) | st.integers(0, 65_535),
    st.integers(0, 89_999),
    st.integers(0, 9) | st.sampled_from([255, 256, 10**6]),
    st.just(0) | st.integers(-(10**6), 10**14),
)
some_rows = st.lists(one_row, max_size=30)
horizons = st.integers(0, 14) | st.integers(0, 65_536)


def ledgers_of(rows: Sequence[Row], customers: int = CUSTOMERS) -> Ledgers:
    """In the order given: what `fold` takes in."""
    return Ledgers(customers, *np.array(rows, np.int64).reshape(-1, 6).T)


def rows_of(ledgers: Ledgers) -> list[Row]:
    columns = (ledgers.customer, ledgers.signal, ledgers.day, ledgers.last, ledgers.count, ledgers.value)
    return list(zip(*(column.tolist() for column in columns), strict=True))
