"""The public id of a customer: `c_` and 13 characters, one to one with the number that the database knows."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_VALUE = {character: value for value, character in enumerate(_ALPHABET)}
_MASK = (1 << 64) - 1
_FACTOR = 0x9E3779B97F4A7C15  # odd, so multiplying is a bijection modulo 2**64
_INVERSE = pow(_FACTOR, -1, 1 << 64)


@lru_cache(maxsize=1 << 16)
def public_id(number: int) -> str:
    """`number`: 0 to 2**63 - 1, as in `customers.id`."""
    mixed = number * _FACTOR & _MASK
    mixed ^= mixed >> 32
    return "c_" + "".join(_ALPHABET[mixed >> shift & 31] for shift in range(60, -1, -5))


def public_ids(numbers: npt.NDArray[np.int64]) -> list[str]:
    """Of many."""
    mixed = numbers.astype(np.uint64) * np.uint64(_FACTOR)
    mixed ^= mixed >> np.uint64(32)
    digits = mixed[:, None] >> np.arange(60, -1, -5, dtype=np.uint64) & np.uint64(31)
    texts = np.empty((len(numbers), 15), np.uint8)
    texts[:, :2] = np.frombuffer(b"c_", np.uint8)
    texts[:, 2:] = np.frombuffer(_ALPHABET.encode(), np.uint8)[digits]
    ids: list[str] = texts.view("S15")[:, 0].astype("U15").tolist()
    return ids


def internal_id(text: str) -> int | None:
    """The number behind a public id; None where `text` is none."""
    if len(text) != 15 or not text.startswith("c_"):
        return None
    mixed = 0
    for character in text[2:]:
        if (value := _VALUE.get(character)) is None:
            return None
        mixed = mixed << 5 | value
    if mixed > _MASK:
        return None
    mixed ^= mixed >> 32
    number = mixed * _INVERSE & _MASK
    return number if number < 1 << 63 else None
