"""The current view: a stored customer as the JSON that the profile API serves."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import msgspec
import numpy as np

from tierwise.domain import attributes, name_words, override, packed_ledger
from tierwise.domain.calendar import date_of
from tierwise.domain.change import rfc3339
from tierwise.domain.classify import OVERRIDES, attribute_columns, classify
from tierwise.domain.customer_id import public_id
from tierwise.domain.dynamic_signals import INTEREST_NAMES, interest_id
from tierwise.domain.interaction import CHANNELS
from tierwise.domain.ledger import signal_id
from tierwise.domain.money import decimal_string
from tierwise.domain.rulebook.book import (
    FIRST_TOUCH,
    LAST_TOUCH,
    Rulebook,
    activity_name,
)

PREFERRED_CHANNEL_DAYS = 180
INTERESTS_MAX = 5
_PURCHASE = signal_id("purchase")

_Row = tuple[int, int, int, int]
"""As `packed_ledger.rows_of` has them."""


class StoredCustomer(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table `customers`."""

    id: int
    merged_into: int | None
    ledger: bytes
    attributes: bytes
    result: bytes
    rulebook_id: int
    cuts: int | None = None
    first_seen: datetime
    last_seen: datetime
    stage_since: date
    classified_at: datetime
    sequence: int
    version: int


def current_view(
    customer: StoredCustomer,
    *,
    identifiers: Sequence[tuple[str, str]],
    rulebook: Rulebook,
    open_attributes: Callable[[Mapping[str, Any]], dict[str, Any]],
) -> dict[str, Any]:
    """`rulebook`: the one that the row names, with its cuts. `identifiers`: (kind, value), already masked where need
    be. `open_attributes` opens sealed values, or masks them."""
    rows = packed_ledger.rows_of(customer.ledger)
    counts = _counts(rows)
    all_held = attributes.unpack(customer.attributes)
    hidden = (override.PREFIX, name_words.PREFIX)
    held = {name: value for name, value in attributes.values(all_held).items() if not name.startswith(hidden)}
    first_touch, last_touch = held.pop(FIRST_TOUCH, None), held.pop(LAST_TOUCH, None)
    interests = held.pop(INTEREST_NAMES, ())
    result = np.frombuffer(customer.result, rulebook.result)[0]
    tier, level = rulebook.tier_names[result["tier"]], rulebook.level_names[result["level"]]
    stage = rulebook.stage_names[result["stage"]]
    return {
        "customer_id": public_id(customer.id),
        "identifiers": [{"kind": kind, "value": value} for kind, value in identifiers],
        "attributes": dict(sorted(open_attributes(held).items())),
        "intent": {"score": int(result["score"]) / 10, "level": level},
        "lifecycle": {"stage": stage, "since": customer.stage_since.isoformat()},
        "tier": {
            "grade": tier,
            "score": (int(result["tier_score"]) + 5) // 10 / 10,
            "dimensions": {
                dimension.name: tenths / 10
                for dimension, tenths in zip(rulebook.dimensions, result["dimensions"].tolist(), strict=True)
            },
        },
        "tags": [
            {"family": family, "name": name, "value": value, "label": rulebook.label(f"{name}.{value}")}
            for family, name, value in tags_of(result, rulebook)
        ],
        "interests": _interests(counts, interests, rulebook),
        "acquisition": {"first": first_touch, "last": last_touch},
        "preferred_channel": _preferred_channel(rows, rulebook.days.day_of(customer.classified_at)),
        "owner": held.get("owner"),
        "strategy": _strategy(rulebook, tier=tier, intent=level, stage=stage),
        "overrides": _overrides(customer, all_held, rulebook),
        "orders": _orders(rows, rulebook),
        "first_seen": rfc3339(customer.first_seen),
        "last_seen": rfc3339(customer.last_seen),
        "interactions": sum(counts.get(signal, 0) for signal in _ACTIVITY_IDS.values()),
        "classified_at": rfc3339(customer.classified_at),
        "rulebook": rulebook.version,
        "cuts": rulebook.cuts_number,
        "version": customer.version,
    }


def tags_of(result: Any, rulebook: Rulebook) -> list[tuple[str, str, str]]:
    """(family, name, value) of the tags that a customer has, in the rulebook's order."""
    return [
        (tag.family, tag.name, tag.values[code - 1])
        for tag, code in zip(rulebook.tags, result["tags"].tolist(), strict=True)
        if code
    ]


_ACTIVITY_IDS = {
    (channel, active): signal_id(activity_name(channel, active)) for channel in CHANNELS for active in (True, False)
}

_ACTIVE_IDS = [_ACTIVITY_IDS[channel, True] for channel in CHANNELS]


def _overrides(customer: StoredCustomer, held: attributes.Attributes, rulebook: Rulebook) -> list[dict[str, Any]]:
    """What was set by hand and holds, with what is computed beside it."""
    given = {aspect: one for aspect, one in override.overrides_of(held).items() if one.holds(customer.classified_at)}
    if not given:
        return []
    columns = attribute_columns([held], rulebook)
    columns[OVERRIDES] = np.array([None], object)
    rows = packed_ledger.unpack([customer.ledger])
    computed = classify(rows, columns, customer.classified_at, rulebook).result[0]
    return [
        {
            "aspect": aspect,
            "value": one.value,
            "computed": override.value_of(computed, aspect, rulebook),
            "reason": one.reason,
            "author": one.author,
            "expires": None if one.expires is None else rfc3339(one.expires),
        }
        for aspect, one in sorted(given.items())
    ]


def _counts(rows: Iterable[_Row]) -> dict[int, int]:
    """Occurrences of each signal, by its id."""
    counts: dict[int, int] = {}
    for signal, _, count, _ in rows:
        counts[signal] = counts.get(signal, 0) + count
    return counts


def _interests(counts: dict[int, int], names: Sequence[str], rulebook: Rulebook) -> list[str]:
    """The most frequent first; equals in the rulebook's order. `names`: of those that are kept by hash; they stand in
    the alphabet's."""
    told = dict(rulebook.interest_ids)
    if rulebook.interests_by_hash:
        told = {name: interest_id(name) for name in sorted(names)} | told
    found = [(-counts[signal], order, value) for order, (value, signal) in enumerate(told.items()) if signal in counts]
    return [value for count, _, value in sorted(found) if count < 0][:INTERESTS_MAX]


def _preferred_channel(rows: Iterable[_Row], today: int) -> str | None:
    """The channel on which the customer did most lately; equals in the order of CHANNELS."""
    recent = _counts(row for row in rows if today - PREFERRED_CHANNEL_DAYS < row[1] <= today)
    counts = [recent.get(signal, 0) for signal in _ACTIVE_IDS]
    most = max(counts)
    return CHANNELS[counts.index(most)] if most else None


def _orders(rows: Iterable[_Row], rulebook: Rulebook) -> dict[str, Any]:
    """`first` and `last` are business dates."""
    purchases = [row for row in rows if row[0] == _PURCHASE]
    days = [day for _, day, _, _ in purchases]
    return {
        "count": sum(count for _, _, count, _ in purchases),
        "amount": decimal_string(sum(value for _, _, _, value in purchases)),
        "currency": rulebook.currency,
        "first": date_of(min(days)).isoformat() if days else None,
        "last": date_of(max(days)).isoformat() if days else None,
    }


def _strategy(rulebook: Rulebook, **names: str) -> dict[str, Any]:
    """What to do for such a customer; what stands at the stage wins over the level, and that over the tier."""
    strategy: dict[str, Any] = {}
    for aspect, name in names.items():
        strategy |= rulebook.strategies.get(aspect, {}).get(name, {})
    return strategy
