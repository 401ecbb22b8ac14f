"""The native form: what interface documents show, one JSON object an interaction."""

from collections.abc import Iterator, Sequence

from tierwise.domain.claim import Admitted, Terms, read_claim
from tierwise.domain.rejection import InvalidInteraction


def read(items: Sequence[bytes], terms: Terms, *, item_bytes_max: int) -> Iterator[Admitted | InvalidInteraction]:
    """What each item is: an interaction, or why it is none. In the order of `items`, one at a time: what is kept
    of each is little, and a thousand decoded at once would be walked by the garbage collector again and again."""
    for item in items:
        yield _read_one(item, terms, item_bytes_max)


def _read_one(item: bytes, terms: Terms, item_bytes_max: int) -> Admitted | InvalidInteraction:
    if len(item) > item_bytes_max:
        return InvalidInteraction("too_large", None, f"An interaction has at most {item_bytes_max:,} bytes")
    try:
        return read_claim(item, terms)
    except InvalidInteraction as rejection:
        return rejection
