"""A file of cuts: one object, or a list of them, as `tierwise rulebook cuts --json` prints it; JSON or YAML."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import yaml

from tierwise.classifying.pool import Cuts
from tierwise.domain.cuts import SCORE_MAX
from tierwise.domain.document import load_yaml
from tierwise.domain.rulebook import Rulebook


class CutsError(ValueError):
    """The message says what is wrong with the file, and where."""


class _Given(msgspec.Struct, kw_only=True):
    """`rulebook`: the version that they were taken under, where it says so; `scores`: the least of each tier."""

    scores: dict[str, float]
    rulebook: str | None = None
    number: int | None = None


def cuts_of(path: Path, rulebook: Rulebook) -> Cuts:
    """Of a list the first ones of the rulebook's version: the newest. Raises CutsError."""
    try:
        given = _chosen(load_yaml(path.read_text("utf-8")), rulebook)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CutsError(f"{path.name} is not JSON or YAML: {error}") from error
    except (msgspec.ValidationError, CutsError) as error:
        raise CutsError(f"{path.name}: {error}") from error
    names = [name for name, _ in rulebook.cuts]
    if sorted(given.scores) != sorted(names):
        raise CutsError(f"{path.name}: scores are needed of {', '.join(names)}, and of no other tiers")
    scores = [given.scores[name] for name in names]
    if any(high < low for high, low in pairwise(scores)) or not 0 <= scores[-1] <= scores[0] <= (SCORE_MAX + 1) / 100:
        raise CutsError(f"{path.name}: scores must go from the highest tier down, between 0 and 100")
    return Cuts(tuple(round(score * 100) for score in scores), given.number)


def _chosen(document: Any, rulebook: Rulebook) -> _Given:
    """Raises msgspec.ValidationError, CutsError."""
    if not isinstance(document, list):
        given = msgspec.convert(document, _Given)
        if given.rulebook not in (None, rulebook.version):
            raise CutsError(f"taken under version {given.rulebook}, but the rulebook is {rulebook.version}")
        return given
    listed = msgspec.convert(document, list[_Given])
    found = next((one for one in listed if one.rulebook == rulebook.version), None)
    if found is None:
        raise CutsError(f"none of its cuts were taken under version {rulebook.version} of the rulebook")
    return found
