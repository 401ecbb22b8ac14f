"""Customers at a time, classified, in the shape of the current view."""

from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from tierwise.classifying.gather import Group
from tierwise.classifying.histories import Folded
from tierwise.classifying.identities import Identifier
from tierwise.domain import attributes, ledger, packed_ledger
from tierwise.domain.calendar import date_of
from tierwise.domain.change import rfc3339
from tierwise.domain.classify import attribute_columns, classify
from tierwise.domain.explain import explanations
from tierwise.domain.rulebook import Rulebook
from tierwise.domain.rulebook.book import FADING_BITS, MILLI
from tierwise.domain.view import StoredCustomer, current_view
from tierwise.security.personal import Vault
from tierwise.security.values import open_values

View = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def view_of_nobody(rulebook: Rulebook, vault: Vault, *, why: bool) -> View:
    """Of a customer without interactions: it has every name that a view has."""
    nothing = np.zeros(1, np.int64)
    nobody = Group([("user_id", "")], [[]], Folded(ledger.empty(1), [{}], nothing, nothing))
    return views(nobody, _EPOCH, rulebook, vault, why=why)[0]


def views(group: Group, time: datetime, rulebook: Rulebook, vault: Vault, *, why: bool = False) -> list[View]:
    """The customers of a group as they stand at its time, with `as_of` and `intent.points`. `why`: and with their
    Explanation, under that name.

    `lifecycle.since` is None: when the stage was entered is a matter of what was classified before. The same
    strongest identifier has the same `customer_id`, in every file.
    """
    folded = group.folded
    attribute_values = attribute_columns(folded.attributes, rulebook)
    after = classify(folded.ledgers, attribute_values, time, rulebook)
    reasons = explanations(folded.ledgers, attribute_values, time, rulebook) if why else repeat(None)
    packed = packed_ledger.pack(folded.ledgers, rulebook.fold_version)
    seen = zip(folded.first_seen.tolist(), folded.last_seen.tolist(), strict=True)
    found = []
    for index, (first, last) in enumerate(seen):
        customer = StoredCustomer(
            id=_number(group.strongest[index]),
            merged_into=None,
            ledger=packed[index],
            attributes=attributes.pack(folded.attributes[index]),
            result=after.result[index].tobytes(),
            rulebook_id=0,
            first_seen=_EPOCH + timedelta(microseconds=first),
            last_seen=_EPOCH + timedelta(microseconds=last),
            stage_since=date_of(rulebook.days.day_of(time)),
            classified_at=time,
            sequence=0,
            version=1,
        )
        view = current_view(
            customer,
            identifiers=group.identifiers[index],
            rulebook=rulebook,
            open_attributes=lambda values: open_values(dict(values), vault, masked=False),
        )
        view["lifecycle"]["since"] = None
        view["intent"]["points"] = round(int(after.result["points"][index]) / (MILLI << FADING_BITS), 6)
        found.append({"customer_id": view.pop("customer_id"), "as_of": rfc3339(time), **view})
        if (explanation := next(reasons)) is not None:
            found[-1]["why"] = explanation
    return found


def tier_scores(group: Group, time: datetime, rulebook: Rulebook) -> npt.NDArray[np.int16]:
    """In hundredths, of the customers of a group as they stand at its time."""
    columns = attribute_columns(group.folded.attributes, rulebook)
    scores: npt.NDArray[np.int16] = classify(group.folded.ledgers, columns, time, rulebook).result["tier_score"]
    return scores


def _number(identifier: Identifier) -> int:
    kind, value = identifier
    digest = blake2b(f"{len(kind)}:{kind}{value}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
