"""How far somebody has heard the changes, as a text that any process of this database can go on from."""

import re
from typing import Final, NamedTuple, Self

from tierwise_profile_api.parameters import BadParameter

_FORM: Final = re.compile(r"([0-9]{1,19})-([0-9]{1,19})-([0-9]{1,18})")


class Position(NamedTuple):
    """Heard: all of the transactions before `start`, and of those in [start, end) the rows up to `last_id`."""

    start: int
    end: int
    last_id: int

    @classmethod
    def after(cls, end: int) -> Self:
        return cls(end, end, 0)

    @classmethod
    def parse(cls, text: str, *, field: str) -> Self:
        """Raises BadParameter."""
        found = _FORM.fullmatch(text)
        start, end, last_id = map(int, found.groups()) if found else (1, 0, 0)
        if start > end or end >= 1 << 63:
            raise BadParameter(field, "This is no position of this stream: pass an event's id back as it came.")
        return cls(start, end, last_id)

    def __str__(self) -> str:
        return "-".join(map(str, self))
