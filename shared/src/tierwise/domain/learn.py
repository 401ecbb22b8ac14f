"""What interactions tell of their customers: attributes, where they came from, and what a person set by hand."""

from collections.abc import Iterator, Sequence

from tierwise.domain import attributes, name_words, override
from tierwise.domain.attributes import Entry, Kind, Seal
from tierwise.domain.dynamic_signals import INTEREST_NAMES
from tierwise.domain.interaction import Interaction
from tierwise.domain.match import counts, interest_of, microseconds, touches
from tierwise.domain.rulebook import Rulebook


def learned(
    interactions: Sequence[Interaction], rulebook: Rulebook, seal: Seal
) -> Iterator[tuple[int, list[tuple[str, Entry]]]]:
    """(index of the interaction, its entries), of those that tell anything."""
    found = touches(interactions, rulebook)
    for index, one in enumerate(interactions):
        entries = found.get(index, [])
        if one.attributes and one.scored:
            sealed = seal.values(one.attributes)
            entries = [*entries, *attributes.entries_of(sealed, time_us=microseconds(one), key=one.key)]
            entries += name_words.entries_of(
                one.attributes, seal, kind=Kind.LATEST, time_us=microseconds(one), key=one.key
            )
        if one.updates is not None and one.scored:
            entries = [*entries, *attributes.updated(one.updates, seal, time_us=microseconds(one), key=one.key)]
            entries += name_words.entries_of(
                one.updates.first, seal, kind=Kind.FIRST, time_us=microseconds(one), key=one.key
            )
        if rulebook.interests_by_hash and counts(one) and (interest := interest_of(one, rulebook)) is not None:
            entries = [*entries, (INTEREST_NAMES, Entry(Kind.INTERESTS, 0, b"", [interest]))]
        if override.is_override(one):
            entries = [*entries, override.entry_of(one, time_us=microseconds(one))]
        if entries:
            yield index, entries
