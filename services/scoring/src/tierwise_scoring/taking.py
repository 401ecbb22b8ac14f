"""Taking cuts: everyone's tier score at a daily close, counted, and cut into the shares that the rulebook wants.

Everything is read in one snapshot, page by page: so the cuts are a function of one state of the database, the memory
does not grow with the customers, and who is killed while counting has left nothing behind.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import asyncpg
import numpy as np
import numpy.typing as npt
from sqlalchemy.ext.asyncio import AsyncConnection

from tierwise.db.engine import driver_connection
from tierwise.db.rulebooks import InForce, Rulebooks
from tierwise.domain import attributes, packed_ledger
from tierwise.domain.classify import attribute_columns, classify
from tierwise.domain.cuts import Taken, Tally, last_close, taken_at
from tierwise.domain.rulebook import Rulebook
from tierwise.domain.rulebook.schema import Schedule
from tierwise.security.personal import Vault
from tierwise_scoring.customers import Customers, read_page
from tierwise_scoring.release import Rules, fold_again

_PAGE: Final = 2_000

GRACE: Final = timedelta(seconds=60)
"""After a close: what ingest received before it is on the stream by then, since an append may take 10 s."""


def due_close(taken: Schedule, now: datetime, rulebook: Rulebook) -> int:
    """The business day at whose close cuts are to be taken, at `now`."""
    return last_close(taken, rulebook.days.day_of(now - GRACE))


async def take(
    connection: AsyncConnection,
    rulebook: Rulebook,
    close: int,
    vault: Vault,
    progressed: Callable[[int], None] = lambda _: None,
) -> Taken:
    """Of everyone who was there at the close of a business day and is not merged away. What happened later does not
    count; attributes are as they are known now. `connection`: in a snapshot. `rulebook`: one with shares, whether it
    is in force or not; customers whom another one folded are folded again, in memory. `progressed`: told the number of
    customers done."""
    rules = Rules(InForce(0, rulebook, quiet=True), Rulebooks(), vault)
    end = rulebook.days.midnight(close + 1) - timedelta(microseconds=1)
    tx = await driver_connection(connection)
    tally, after = Tally(), -1
    while (customers := await read_page(tx, after, _PAGE, seen_by=end)).ids:
        tally.add(await _scores(tx, customers, rules, end))
        after = customers.ids[-1]
        progressed(tally.customers)
    return taken_at(close, tally, rulebook)


async def _scores(tx: asyncpg.Connection, customers: Customers, rules: Rules, end: datetime) -> npt.NDArray[np.int16]:
    """Tier scores in hundredths, by customer."""
    ledgers, held = list(customers.ledgers), list(customers.attributes)
    stale = ~packed_ledger.folded_by(ledgers, rules.rulebook.fold_version)
    if stale.any():
        await fold_again(tx, customers.ids, ledgers, held, stale, rules)
    columns = attribute_columns([attributes.unpack(one) for one in held], rules.rulebook)
    classified = classify(packed_ledger.unpack(ledgers), columns, end, rules.rulebook)
    scores: npt.NDArray[np.int16] = classified.result["tier_score"]
    return scores
