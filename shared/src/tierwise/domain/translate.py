"""Translating results: what customers were by older rulebooks, in the layout of another one, name by name.

A name that the other rulebook does not have gets a code beyond its own ones, so that what is compared differs from
every value there is, and the change still says what was before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tierwise.domain.change import Bools, Changes, Names, Results, names_of, tag_aspect
from tierwise.domain.ledger import Ints
from tierwise.domain.rulebook.book import Rulebook

_CODED = (("tier", "tiers"), ("level", "levels"), ("stage", "stages"))
"""Fields of a result, and what their codes index in Names."""


class Held(NamedTuple):
    """Results that one rulebook laid out. `customer[i]`: the index of the customer that `result[i]` is of."""

    rulebook: Rulebook
    customer: Ints
    result: Results


@dataclass(frozen=True, slots=True)
class Translated:
    """By customer. `result`: in the layout of the rulebook translated to, its codes meaning `names`. `gone`: the tags
    that this rulebook does not have, each as a change to nothing, of the customers that have it."""

    result: Results
    names: Names
    gone: list[Changes]


def unpack_results(stored: Sequence[bytes], rulebook: Rulebook) -> tuple[Results, Bools]:
    """Results as the rulebook lays them out, and which of them can be read; those that cannot are zeros."""
    size = rulebook.result.itemsize
    known = np.array([len(one) == size for one in stored], np.bool_)
    whole = [one if fits else bytes(size) for one, fits in zip(stored, known.tolist(), strict=True)]
    result = np.frombuffer(b"".join(whole), rulebook.result)
    names = names_of(rulebook)
    for field, of in _CODED:
        known &= result[field] < len(getattr(names, of))
    known &= (result["tags"] <= [len(values) for values in names.tags]).all(axis=1)
    return np.where(known, result, np.zeros(1, rulebook.result)), known


def translate(held: Sequence[Held], customers: int, to: Rulebook) -> Translated:
    """`customers`: how many there are; those that nothing is held of get zeros. Dimensions that the older rulebook
    does not have are 0."""
    result = np.zeros(customers, to.result)
    names = _all_names(held, to)
    gone: list[Changes] = []
    for part in held:
        if part.rulebook is to:
            result[part.customer] = part.result
            continue
        _translate(part, result, names, to)
        gone += _gone(part, to)
    return Translated(result, names, gone)


def _translate(part: Held, into: Results, names: Names, to: Rulebook) -> None:
    at = part.customer
    for field in ("points", "score", "tier_score"):
        into[field][at] = part.result[field]
    old = names_of(part.rulebook)
    for field, of in _CODED:
        into[field][at] = _codes(getattr(old, of), getattr(names, of))[part.result[field]]
    tags = {tag_aspect(tag): index for index, tag in enumerate(part.rulebook.tags)}
    for index, tag in enumerate(to.tags):
        if (was := tags.get(tag_aspect(tag))) is not None:
            codes = _codes((None, *old.tags[was]), (None, *names.tags[index]))
            into["tags"][at, index] = codes[part.result["tags"][:, was]]
    dimensions = {dimension.name: index for index, dimension in enumerate(part.rulebook.dimensions)}
    for index, dimension in enumerate(to.dimensions):
        if (was := dimensions.get(dimension.name)) is not None:
            into["dimensions"][at, index] = part.result["dimensions"][:, was]


def _gone(part: Held, to: Rulebook) -> list[Changes]:
    kept = {tag_aspect(tag) for tag in to.tags}
    changes = []
    for index, tag in enumerate(part.rulebook.tags):
        codes = part.result["tags"][:, index]
        had = np.flatnonzero(codes)
        if tag_aspect(tag) not in kept and len(had):
            old: list[str | None] = [tag.values[code - 1] for code in codes[had].tolist()]
            new: list[str | None] = [None] * len(had)
            score: list[int | None] = [None] * len(had)
            changes.append(Changes(tag_aspect(tag), part.customer[had], old, new, score, [b""] * len(had)))
    return changes


def _all_names(held: Sequence[Held], to: Rulebook) -> Names:
    """Those of the rulebook, and after them those that only older ones have."""
    everyone = [names_of(to), *(names_of(part.rulebook) for part in held)]
    tiers, levels, stages = (_joined(getattr(names, of) for names in everyone) for _, of in _CODED)
    values = {tag_aspect(tag): tag.values for tag in to.tags}
    for part in held:
        for tag in part.rulebook.tags:
            if tag_aspect(tag) in values:
                values[tag_aspect(tag)] = _joined((values[tag_aspect(tag)], tag.values))
    return Names(tiers, levels, stages, tuple(values.values()))


def _joined(several: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for names in several for name in names))


def _codes(old: Sequence[str | None], names: Sequence[str | None]) -> npt.NDArray[np.uint8]:
    """Old code -> code among `names`. Raises OverflowError where there are more than a result's byte can tell."""
    place = {name: code for code, name in enumerate(names)}
    return np.array([place[name] for name in old], np.uint8)
