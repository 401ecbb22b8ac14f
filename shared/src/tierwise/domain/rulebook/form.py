"""The form of a rulebook: from text to a Document, or to all that is wrong with it.

What is wrong with the form of one part must not hide what is wrong with the meaning of another: so parts of a wrong
form are replaced by ones that say nothing, and the rest is checked further.
"""

from collections.abc import Sequence
from copy import deepcopy
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

import yaml
from pydantic import BaseModel, ValidationError

from tierwise.domain.document import parse_yaml
from tierwise.domain.rulebook import schema
from tierwise.domain.rulebook.schema import Document


class RulebookError(ValueError):
    """`errors`: each says where and what, `intent.points.pricing_view: ...`, in the order of the document."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


class Form(NamedTuple):
    """`document`: sound but for the `errors`, which name their `places`; None where no part of it can be checked
    further. `names_lost`: other parts may name what had to be replaced."""

    document: Document | None
    errors: list[str]
    places: list[str]
    names_lost: bool

    def explains(self, error: str) -> bool:
        """Whether an error of meaning may come from one of these of form."""
        if not self.errors:
            return False
        place, _, said = error.partition(": ")
        if place == "labels":
            return said.endswith(f": {_UNKNOWN}")
        beside = next((group for group in _IN_ORDER if place.startswith(group)), place)
        near = any(_within(wrong, beside) or _within(place, wrong) for wrong in self.places)
        return near or "nothing asks for it" in said or (self.names_lost and "unknown " in said)


_IN_ORDER: Final = ("intent.levels", "tiers.cuts", "tiers.shares")
"""Where what is right depends on what stands beside it."""


def _within(place: str, whole: str) -> bool:
    return place == whole or place.startswith(f"{whole}.")


def form_of(text: str) -> Form:
    """Raises RulebookError for what is no YAML."""
    try:
        given, repeated = parse_yaml(text)
    except yaml.YAMLError as error:
        raise RulebookError([f"not YAML: {error}"]) from error
    twice = [f"the rulebook: {one}" for one in repeated]
    try:
        return Form(Document.model_validate(given), twice, [], names_lost=False)
    except ValidationError as error:
        found = error.errors()
    errors = [*twice, *dict.fromkeys(_misfit(entry) for entry in found)]
    document, lost = _mended(given, found)
    return Form(document, errors, [".".join(_path(entry)) for entry in found], lost)


def read(text: str) -> Document:
    """The document, of the right form, its meaning unchecked. Raises RulebookError."""
    form = form_of(text)
    if form.document is None or form.errors:
        raise RulebookError(form.errors)
    return form.document


def _misfit(entry: Any) -> str:
    """One of pydantic's errors: without the names of a union's branches, and of its own words."""
    place = ".".join(_path(entry))
    if not place:
        return "the rulebook: has to be a YAML mapping of names to what they mean"
    if entry["type"] == "extra_forbidden":
        return f"{place}: is no word that is known here"
    return f"{place}: {entry['msg'].removeprefix('Value error, ')}"


def _path(entry: Any) -> list[str]:
    parts = [str(part) for part in entry["loc"]]
    return [part for part in parts if part not in ("str", "[key]") and not part.startswith("tuple[")]


_UNKNOWN: Final = "unknown"
_ABSENT: Final = object()
_NEUTRAL: Final[Sequence[tuple[str, object]]] = (
    ("labels.*.*", _UNKNOWN), ("labels.*", {"en": _UNKNOWN, "zh": _UNKNOWN}), ("labels", _ABSENT),
    ("strategies*", _ABSENT),
    ("version", _UNKNOWN), ("timezone", "UTC"), ("currency", "XXX"), ("horizon", "3650d"), ("rates", _ABSENT),
    ("rates.*.*", 1), ("rates.*", {"2000-01-01": 1}), ("attributes.*", _UNKNOWN),
    ("*.channel*", _ABSENT), ("*.type*", _ABSENT), ("*.where", _ABSENT), ("signals.*.value", _ABSENT),
    ("signals.*", {}),
    ("interests*", _ABSENT), ("acquisition.*.source", _UNKNOWN), ("acquisition.*", {"source": _UNKNOWN}),
    ("intent.half_score", 1), ("intent.otherwise", _UNKNOWN), ("intent.points.*.each", 1), ("*.half_life", "30d"),
    ("*.at_most", _ABSENT), ("intent.points.*", {"each": 1, "half_life": "30d"}), ("intent.fit.*.name", _UNKNOWN),
    ("*.points", 1), ("*.when", "true"), ("intent.fit.*", {"name": _UNKNOWN, "when": "true", "points": 1}),
    ("*.enter", 50), ("*.leave", 50), ("intent.levels.*", {"enter": 50, "leave": 50}),
    ("lifecycle.*.stage", _UNKNOWN), ("lifecycle.*", {"stage": _UNKNOWN, "when": "true"}), ("*.metric", "0"),
    ("*.weight", 1), ("*.scale*", {0: 0, 1: 100}),
    ("tiers.dimensions.*", {"metric": "0", "weight": 1, "scale": {0: 0, 1: 100}}), ("tiers.cuts.*", 50),
    ("tiers.shares*", _ABSENT), ("tiers.otherwise", _UNKNOWN), ("tags.*.*.*", "false"),
    ("tags*", _ABSENT),
)  # fmt: skip
"""By place, the first that fits: what says nothing there, and asks for nothing."""

_NAMING: Final = (
    "attributes*", "acquisition.*", "intent.otherwise", "intent.fit.*", "lifecycle.*", "tiers.otherwise", "tags.*",
)  # fmt: skip
"""Places at which, or right below which, stand names that are lost with them."""

_ROUNDS: Final = 3
"""What is mended may be of a wrong form again, where it was wrong in several ways."""


def _mended(given: Any, found: Sequence[Any]) -> tuple[Document | None, bool]:
    """The document with neutral parts in place of those that were found wrong; and whether names were lost by it."""
    given, lost = deepcopy(given), False
    for number in range(_ROUNDS):
        for entry in found:
            if not _mend(given, entry, rename=number == 0):
                return None, lost
            place = ".".join(_path(entry))
            lost |= "[key]" in entry["loc"] or any(fnmatchcase(place, pattern) for pattern in _NAMING)
            lost |= entry["type"] == "extra_forbidden"
        try:
            return Document.model_validate(given), lost
        except ValidationError as error:
            found = error.errors()
    return None, lost


def _mend(given: Any, entry: Any, *, rename: bool) -> bool:
    """Put right, in place, what one error is about, if there is a way."""
    *above, name = _path(entry) or [""]
    part = given
    for step in above:
        part = _at(part, step)
    if not isinstance(part, dict | list) or (isinstance(part, list) and _key(part, name) >= len(part)):
        return False
    if isinstance(part, dict) and (entry["type"] == "extra_forbidden" or "[key]" in entry["loc"]):
        value = part.pop(_key(part, name), None)
        meant = get_close_matches(name, _WORDS - part.keys(), n=1)
        if rename and meant and entry["type"] == "extra_forbidden":
            part[meant[0]] = value
        return True
    place = ".".join([*above, name])
    neutral = next((value for pattern, value in _NEUTRAL if fnmatchcase(place, pattern)), None)
    if neutral is None:
        return False
    if neutral is not _ABSENT:
        part[_key(part, name)] = deepcopy(neutral)
    elif isinstance(part, dict):
        part.pop(_key(part, name), None)
    else:
        part.clear()
    return True


def _at(part: Any, step: str) -> Any:
    key = _key(part, step)
    if isinstance(part, dict):
        return part.get(key)
    return part[key] if isinstance(part, list) and key < len(part) else None


def _key(part: Any, step: str) -> Any:
    """As it stands in the document: keys may be numbers, and places are text."""
    if isinstance(part, list):
        return int(step) if step.isdigit() else len(part)
    return next((key for key in part if str(key) == step), step) if isinstance(part, dict) else step


_WORDS: Final = frozenset(
    field.alias or name
    for model in vars(schema).values()
    if isinstance(model, type) and issubclass(model, BaseModel)
    for name, field in model.model_fields.items()
)
