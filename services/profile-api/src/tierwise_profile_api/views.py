"""Current views as they were encoded, by the version of the customer that they show."""

from collections import OrderedDict
from typing import Final

VIEWS_MAX: Final = 10_000
"""Some 20 MB: the customers whom frontends show just now."""


class Views:
    """A row that has the same version again is not turned into a view again, which is half of what a read costs. The
    row itself is always read, so that nothing is ever served that is not so any more."""

    def __init__(self, views_max: int = VIEWS_MAX) -> None:
        self._views_max = views_max
        self._known: OrderedDict[tuple[int, bool, str], tuple[int, bytes]] = OrderedDict()

    def get(self, customer: int, version: int, *, masked: bool, language: str) -> bytes | None:
        key = (customer, masked, language)
        found = self._known.get(key)
        if found is None or found[0] != version:
            return None
        self._known.move_to_end(key)
        return found[1]

    def keep(self, customer: int, version: int, view: bytes, *, masked: bool, language: str) -> None:
        key = (customer, masked, language)
        self._known[key] = (version, view)
        self._known.move_to_end(key)
        if len(self._known) > self._views_max:
            self._known.popitem(last=False)
