"""The kernel as scoring drives it, on the histories of many customers at once."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np

from tests.support.reference import Expected
from tierwise.domain import attributes as attribute
from tierwise.domain import ledger
from tierwise.domain.attributes import Attributes
from tierwise.domain.classify import Classifications, attribute_columns, classify
from tierwise.domain.dynamic_signals import keep_interests
from tierwise.domain.interaction import Interaction
from tierwise.domain.learn import learned
from tierwise.domain.ledger import Ledgers
from tierwise.domain.match import match
from tierwise.domain.rulebook import Rulebook
from tierwise.domain.view import tags_of

History = Sequence[Interaction]


class Unsealed:
    """Leaves personal values as they are."""

    def values(self, values: dict[str, Any]) -> dict[str, Any]:
        return values

    def word(self, word: str) -> int:
        return hash(word)

    def texts(self, _: str, texts: Sequence[str]) -> dict[str, bytes | None]:
        return dict.fromkeys(texts)


def distinct(history: History) -> list[Interaction]:
    """Without what came twice: in scoring the database sees to it."""
    return list({one.key: one for one in history}.values())


def fold_all(histories: Sequence[History], rulebook: Rulebook) -> Ledgers:
    """The ledgers of customers who have these histories, none with a duplicate."""
    owner = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    rows = match([one for history in histories for one in history], rulebook)
    rows = replace(rows, customers=len(histories), customer=owner[rows.customer])
    return keep_interests(ledger.fold(ledger.empty(len(histories)), rows))


def attributes_of_all(histories: Sequence[History], rulebook: Rulebook) -> list[Attributes]:
    everyone: list[Attributes] = [{} for _ in histories]
    owned = [(one, held) for history, held in zip(histories, everyone, strict=True) for one in history]
    for index, entries in learned([one for one, _ in owned], rulebook, Unsealed()):
        attribute.merge(owned[index][1], entries)
    return everyone


def classify_all(histories: Sequence[History], now: datetime, rulebook: Rulebook) -> Classifications:
    columns = attribute_columns(attributes_of_all(histories, rulebook), rulebook)
    return classify(fold_all(histories, rulebook), columns, now, rulebook)


def read(result: Any, rulebook: Rulebook, interests: Sequence[str] = ()) -> Expected:
    """One customer's stored result in the reference's words."""
    return Expected(
        points=int(result["points"]),
        score=int(result["score"]),
        level=rulebook.level_names[result["level"]],
        stage=rulebook.stage_names[result["stage"]],
        tier=rulebook.tier_names[result["tier"]],
        tier_score=int(result["tier_score"]),
        dimensions=tuple(result["dimensions"].tolist()),
        tags=tuple(tags_of(result, rulebook)),
        interests=tuple(interests),
    )
