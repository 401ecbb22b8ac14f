"""What a file writes for the values of facets: their names, or words of a reader's language."""

from collections.abc import Callable
from typing import Final

from tierwise.db.facets import TAG
from tierwise.domain.rulebook.book import Rulebook
from tierwise.finding.conditions import TOUCHES

Word = Callable[[str, str], str]
"""Of a facet and one of its values."""

_BY_NAME: Final = ("tier", "intent", "stage", *TOUCHES)
"""Facets whose values rulebooks label by the bare name; those of others by facet and name, as `gender.female`."""


def names(_facet: str, value: str) -> str:
    return value


def labels(rulebook: Rulebook, language: str) -> Word:
    """The value itself where the rulebook has no label for it."""

    def label(facet: str, value: str) -> str:
        if facet == TAG:  # behaviour.browsing:high
            name = value.partition(".")[2].replace(":", ".", 1)
        else:
            name = value if facet in _BY_NAME else f"{facet}.{value}"
        return rulebook.label(name)[language] if name in rulebook.labels else value

    return label
