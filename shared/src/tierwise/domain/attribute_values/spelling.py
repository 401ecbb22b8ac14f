"""Spelling: what does not tell two words apart, and tables of words by what is left."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

TEXT_CHARACTERS_MAX = 64
"""A longer text is no name of anything here."""

_NOTHING = str.maketrans({**dict.fromkeys(" \t\r\n_-.·'’‘/,、()+"), "&": "and"})
_PARTS = re.compile(r"[/、,，;；|()（）]")


def squashed(text: str) -> str:
    """Without case, width, blanks and punctuation: `Xi'an` and `XIAN`, `Ｍ` and `m` are the same."""
    return unicodedata.normalize("NFKC", text).casefold().translate(_NOTHING)


def text_of(value: Any) -> str | None:
    """What a table can be asked for: a text that is short enough, or a whole number as one."""
    if value is None or isinstance(value, str):  # nearly every one
        return value if value is not None and len(value) <= TEXT_CHARACTERS_MAX else None
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 10**15 else None
    return None


class Words:
    """Canonical names, and the words that mean them."""

    def __init__(self, meanings: Mapping[str, str], *, endings: Iterable[str] = ()) -> None:
        """`meanings`: canonical name -> other words for it, split by commas. `endings`: add nothing to a word.

        Raises ValueError where one word has two meanings."""
        self._by_word: dict[str, str] = {}
        for canonical, others in meanings.items():
            for word in (canonical, *others.split(",")):
                if self._by_word.setdefault(squashed(word), canonical) != canonical:
                    raise ValueError(f"{word.strip()!r} means {self._by_word[squashed(word)]} and {canonical}")
        self._endings = tuple(endings)

    def meaning(self, text: str) -> str | None:
        """The canonical name; None where the text is not understood, or names several."""
        if (whole := self._of(squashed(text))) is not None:
            return whole
        found = {meaning for part in _PARTS.split(text) if (meaning := self._of(squashed(part))) is not None}
        return found.pop() if len(found) == 1 else None

    def _of(self, word: str) -> str | None:
        if (meaning := self._by_word.get(word)) is not None:
            return meaning
        shorter = (word.removesuffix(ending) for ending in self._endings if word.endswith(ending))
        return next((meaning for one in shorter if (meaning := self._by_word.get(one)) is not None), None)
