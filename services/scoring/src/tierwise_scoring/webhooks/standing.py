"""What a destination's placeholders stand for: the change, and how its customer stands when it is sent."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from tierwise.db.current import CUSTOMER
from tierwise.db.engine import driver_connection
from tierwise.db.rulebooks import Rulebooks
from tierwise.db.tables import audit
from tierwise.domain.change import event_id
from tierwise.domain.view import StoredCustomer, current_view
from tierwise.security.personal import Vault
from tierwise.security.values import open_values
from tierwise.webhooks.document import Described
from tierwise.webhooks.log import test_id
from tierwise.webhooks.template import Values, host_of, names_personal_data
from tierwise_scoring.webhooks.queue import Head


async def values_of(
    connection: AsyncConnection, head: Head, event: dict[str, Any], rulebooks: Rulebooks, vault: Vault
) -> Values:
    """`event`: as a webhook has it. `customer` is empty for a test, and where the customer is there no more."""
    about = {"type": event["type"], "timestamp": event["timestamp"]}
    if head.change is None:
        return {"event": {"id": test_id(head.id), **about}, "change": event["data"], "customer": {}}
    customer = await _standing(connection, head.change.customer_id, rulebooks, vault)
    return {"event": {"id": event_id(head.change), **about}, "change": event["data"], "customer": customer}


async def _standing(connection: AsyncConnection, customer: int, rulebooks: Rulebooks, vault: Vault) -> dict[str, Any]:
    row = await (await driver_connection(connection)).fetchrow(CUSTOMER, customer)
    if row is None:
        return {}
    known = sorted(
        (kind, vault.open(ciphertext, context=kind.encode()).decode())
        for kind, ciphertext in zip(row["kinds"] or (), row["ciphertexts"] or (), strict=True)
    )
    view = current_view(
        StoredCustomer(**{name: row[name] for name in StoredCustomer.__struct_fields__}),
        identifiers=known,
        rulebook=await rulebooks.get(connection, row["rulebook_id"], row["cuts"]),
        open_attributes=lambda values: open_values(dict(values), vault, masked=False),
    )
    # Of several of a kind the first in the alphabet, which is the same one each time.
    view["identifiers"] = dict(reversed(known))
    view["tags"] = {tag["name"]: tag["value"] for tag in view["tags"]}
    return view


async def personal_data_leaves(
    connection: AsyncConnection, subscription_id: str, described: Described, customers: Sequence[int]
) -> None:
    """Written down before it does: whose, and where to."""
    template = described.request
    if template is None or not customers or not names_personal_data(described.url, template):
        return
    about = {"reader": subscription_id, "name": "webhook", "what": f"{template.method} {host_of(described.url)}"}
    await connection.execute(insert(audit), [about | {"customer_id": one} for one in customers])
