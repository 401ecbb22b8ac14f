"""The words of people's names, by which somebody is found whose name is stored sealed.

Beside each name that a source tells stands a reserved attribute with a keyed hash of each of its words. It is folded as
the name is, so that it always belongs to the name that holds.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from tierwise.domain.attributes import Attributes, Entry, Kind, Seal, value_of

PREFIX: Final = "words."
"""Of the attributes; what follows is the name's own."""

NAMES: Final = frozenset(
    (
        "name", "full_name", "first_name", "middle_name", "last_name", "given_name", "family_name", "display_name",
        "nickname", "real_name", "contact_name", "姓名", "名字", "昵称",
    )
)  # fmt: skip
"""The attributes that are people's names."""

WORDS_MAX: Final = 8
_WORD: Final = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """At most WORDS_MAX: folded to lower case and to one form of each character (NFKC), each once, in their order."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return list(dict.fromkeys(_WORD.findall(folded)))[:WORDS_MAX]


def entries_of(
    given: Mapping[str, Any], seal: Seal, *, kind: Kind, time_us: int, key: bytes
) -> list[tuple[str, Entry]]:
    """The entries that go with the names among one interaction's attributes."""
    if NAMES.isdisjoint(given):
        return []
    return [
        (PREFIX + name, Entry(kind, time_us, key, _hashes(given[name], seal))) for name in sorted(NAMES & given.keys())
    ]


def _hashes(name: Any, seal: Seal) -> list[int] | None:
    return sorted(seal.word(word) for word in words(name)) if isinstance(name, str) else None


def words_held(held: Attributes) -> tuple[int, ...]:
    """The hashes of all words of a customer's names, ascending."""
    found: set[int] = set()
    for name in held:
        if name.startswith(PREFIX) and value_of(held, name.removeprefix(PREFIX)) is not None:
            found.update(value_of(held, name) or ())
    return tuple(sorted(found))
