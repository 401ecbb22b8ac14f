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
        self._known: OrderedDict[tuple[int, bool], tuple[int, bytes]] = OrderedDict()

    def get(self, customer: int, version: int, *, masked: bool) -> bytes | None:
        found = self._known.get((customer, masked))
        if found is None or found[0] != version:
            return None
        self._known.move_to_end((customer, masked))
        return found[1]

    def keep(self, customer: int, version: int, view: bytes, *, masked: bool) -> None:
        self._known[customer, masked] = (version, view)
        self._known.move_to_end((customer, masked))
        if len(self._known) > self._views_max:
            self._known.popitem(last=False)
