"""What a page writes for a customer's classification, in the language that is read there."""

from collections.abc import Mapping
from typing import Any

from tierwise.domain.rulebook import Rulebook


def labels_of(view: Mapping[str, Any], rulebook: Rulebook, language: str) -> dict[str, Any]:
    """By the names that the values have in the view; a name itself where the rulebook has no label for it."""

    def label(name: str) -> str:
        return rulebook.label(name)[language]

    return {
        "language": language,
        "intent": label(view["intent"]["level"]),
        "lifecycle": label(view["lifecycle"]["stage"]),
        "tier": label(view["tier"]["grade"]),
        "dimensions": {name: label(name) for name in view["tier"]["dimensions"]},
        "tags": {tag["name"]: tag["label"][language] for tag in view["tags"]},
    }
