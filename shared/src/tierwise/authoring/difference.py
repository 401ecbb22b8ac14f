"""What two rulebooks say differently: names that came or went, and fields whose meaning is another."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from tierwise.authoring.parts import Part, parts
from tierwise.domain.rulebook.schema import Document


class Difference(NamedTuple):
    """`field` is empty where the whole part is meant. `old` and `new`: texts for people, None for nothing."""

    section: str
    name: str
    change: Literal["added", "removed", "changed", "moved"]
    field: str
    old: str | None
    new: str | None


def differences(old: Document, new: Document) -> list[Difference]:
    """In the order of the old document, what is new after the rest of its section."""
    before, after = parts(old), parts(new)
    held = {(part.section, part.name): part for part in before}
    now = {(part.section, part.name): part for part in after}
    found: list[Difference] = []
    for section in dict.fromkeys(part.section for part in (*before, *after)):
        for part in (part for part in before if part.section == section):
            other = now.get((section, part.name))
            found += _changed(part, other) if other else [_whole(part, "removed")]
        new_here = [part for part in after if part.section == section and (section, part.name) not in held]
        found += [_whole(part, "added") for part in new_here]
        found += _moved(section, before, after)
    return found


def _whole(part: Part, change: Literal["added", "removed"]) -> Difference:
    said = ", ".join(f"{field}: {text}" if field else text for field, text in part.texts.items())
    old, new = (None, said) if change == "added" else (said, None)
    return Difference(part.section, part.name, change, "", old, new)


def _changed(old: Part, new: Part) -> list[Difference]:
    return [
        Difference(old.section, old.name, "changed", field, old.texts.get(field), new.texts.get(field))
        for field in dict.fromkeys((*old.meaning, *new.meaning))
        if old.meaning.get(field) != new.meaning.get(field)
    ]


def _moved(section: str, before: Sequence[Part], after: Sequence[Part]) -> list[Difference]:
    """Where the first that holds is taken, the order is part of the meaning."""
    old = [part.name for part in before if part.section == section and part.ordered]
    new = [part.name for part in after if part.section == section and part.ordered]
    kept_old, kept_new = [name for name in old if name in new], [name for name in new if name in old]
    if kept_old == kept_new:
        return []
    return [Difference(section, "", "moved", "order", ", ".join(kept_old), ", ".join(kept_new))]
