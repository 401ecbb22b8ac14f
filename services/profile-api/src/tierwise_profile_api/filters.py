"""What a list of customers is narrowed by: several values of one filter mean any of them, different filters all."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tierwise.domain.rulebook.book import Rulebook
from tierwise_profile_api.parameters import VALUES_MAX, BadParameter


@dataclass(frozen=True, slots=True)
class Filters:
    """Values as stored in `customer_facets`, sorted. `tags`: one entry for each tag asked for."""

    tiers: tuple[str, ...]
    intents: tuple[str, ...]
    stages: tuple[str, ...]
    tags: tuple[tuple[str, ...], ...]

    def conditions(self, *, first: int) -> tuple[str, list[list[str]]]:
        """SQL on `customer_facets` as f, and what its parameters from $`first` on are."""
        columns = (("f.tier = ANY", self.tiers), ("f.intent = ANY", self.intents), ("f.stage = ANY", self.stages))
        chosen = [(comparison, values) for comparison, values in columns if values]
        chosen += [("f.tags &&", values) for values in self.tags]
        conditions = [f"{comparison} (${first + n}::text[])" for n, (comparison, _) in enumerate(chosen)]
        return " AND ".join(conditions) or "true", [list(values) for _, values in chosen]

    def __bool__(self) -> bool:
        return bool(self.tiers or self.intents or self.stages or self.tags)


def read_filters(
    rulebook: Rulebook,
    *,
    tier: Sequence[str] | None,
    intent: Sequence[str] | None,
    stage: Sequence[str] | None,
    tag: Sequence[str] | None,
) -> Filters:
    """Raises BadParameter naming the values that there are: a typing error must not look like an empty list."""
    return Filters(
        tiers=_among(rulebook.tier_names, "tier", tier),
        intents=_among(rulebook.level_names, "intent", intent),
        stages=_among(rulebook.stage_names, "stage", stage),
        tags=_tags(rulebook, tag or ()),
    )


def _among(known: Sequence[str], field: str, given: Sequence[str] | None) -> tuple[str, ...]:
    for value in given or ():
        if value not in known:
            raise BadParameter(field, f"The values are {', '.join(known)}.")
    return tuple(sorted(set(given or ())))


_TAG: Final = re.compile(r"(?:([a-z][a-z0-9_]*)\.)?([a-z][a-z0-9_]*):([^\x00-\x1f:]{1,64})")


def _tags(rulebook: Rulebook, given: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    if len(given) > VALUES_MAX:
        raise BadParameter("tag", f"At most {VALUES_MAX} values.")
    wanted: dict[str, set[str]] = {}
    for text in given:
        if (match := _TAG.fullmatch(text)) is None:
            raise BadParameter("tag", "A tag is NAME:VALUE or FAMILY.NAME:VALUE: browsing:high.")
        family, name, value = match.groups()
        found = [tag for tag in rulebook.tags if tag.name == name and family in (None, tag.family)]
        if not found:
            raise BadParameter("tag", f"The tags are {', '.join(sorted(tag.name for tag in rulebook.tags))}.")
        if not any(value in tag.values for tag in found):
            values = sorted({known for tag in found for known in tag.values})
            raise BadParameter("tag", f"The values of {name} are {', '.join(values)}.")
        wanted.setdefault(name, set()).update(f"{tag.family}.{name}:{value}" for tag in found)
    return tuple(tuple(sorted(wanted[name])) for name in sorted(wanted))
