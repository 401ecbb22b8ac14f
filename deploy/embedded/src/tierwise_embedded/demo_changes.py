"""What changes while the demo runs, as the profile API tells it."""

import asyncio
from typing import Any

import httpx
from rich.console import Console
from rich.text import Text
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db.tables import changes
from tierwise.domain.customer_id import public_id

_EVERY_S = 0.8
_SHOWN = ("tier", "intent", "lifecycle")


async def show_changes(engine: AsyncEngine, api: str, read_key: str, console: Console) -> None:
    """Print one change now and then: of those since the last one the newest, tiers first, first values left out.
    Until cancelled."""
    headers = {"Authorization": f"Bearer {read_key}"}
    async with httpx.AsyncClient(base_url=api, headers=headers, timeout=10) as client:
        async with engine.connect() as connection:
            last = await connection.scalar(select(func.max(changes.c.id))) or 0
        while True:
            async with engine.connect() as connection:
                newest_id = await connection.scalar(select(func.max(changes.c.id))) or 0
                newest = (
                    select(changes.c.id, changes.c.customer_id, changes.c.sequence)
                    .where(changes.c.id > last, changes.c.aspect.in_(_SHOWN), changes.c["from"].is_not(None))
                    .order_by((changes.c.aspect == "tier").desc(), changes.c.id.desc())
                    .limit(1)
                )
                found = (await connection.execute(newest)).one_or_none()
            if found is not None:
                last = newest_id
                line = await _line(client, public_id(found.customer_id), found.sequence)
                if line is not None:
                    console.print(line, highlight=False, soft_wrap=True)
            await asyncio.sleep(_EVERY_S)


async def _line(client: httpx.AsyncClient, customer_id: str, sequence: int) -> Text | None:
    try:
        view = await client.get(f"/v1/customers/{customer_id}")
        history = await client.get(f"/v1/customers/{customer_id}/changes", params={"limit": 50})
    except httpx.TransportError:
        return None  # the API is being started again; the next change will do
    if view.status_code != 200 or history.status_code != 200:
        return None
    change = next((item for item in history.json()["items"] if item.get("sequence") == sequence), None)
    return None if change is None else _worded(view.json(), change)


def _worded(customer: dict[str, Any], change: dict[str, Any]) -> Text:
    name = customer.get("attributes", {}).get("name") or next(
        (identifier["value"] for identifier in customer.get("identifiers", ())), "somebody"
    )
    line = Text(f"{name} ", style="bold").append(f"({change['customer_id']}) ", style="dim")
    line.append(f"{change['aspect']} {change['from']} → {change['to']}", style="default not dim")
    reasons = [
        f"{reason['en']} {reason['points']:+.1f}" if "points" in reason else reason["en"]
        for reason in change.get("reasons", ())
    ]
    if reasons:
        line.append(f": because {', '.join(reasons)}", style="default not bold")
    return line
