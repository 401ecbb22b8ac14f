"""Machines whose clocks disagree by more than an hour: all that they accept counts, once, by the database's clock."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.clock import clock_off_by
from tests.support.importing import counted
from tests.support.sequential import until_scored
from tests.support.services import Deployment
from tierwise.db.tables import customers, dead_letters

OFF = timedelta(minutes=61)
"""A broker refuses records that say they are more than an hour of its future."""


async def test_what_machines_with_other_clocks_accept_counts_once(
    deployment: Deployment, engine: AsyncEngine, tmp_path: Path
) -> None:
    ahead, behind = (clock_off_by(tmp_path, by) for by in (OFF, -OFF))
    first, second, _ = await asyncio.gather(
        deployment.start("ingest", environment=ahead),
        deployment.start("ingest", environment=behind),
        deployment.start("scoring", environment=behind),
    )
    headers, now = await deployment.write_key("site"), datetime.now(UTC)
    async with httpx.AsyncClient(headers=headers, timeout=30) as client:
        for number, service in enumerate((first, second) * 5):
            at = (now - 2 * OFF + timedelta(seconds=number)).isoformat()
            items = [_visit(f"t{number}", {"time": at}), _visit(f"n{number}", {})]
            for given in (items, items[:1]):  # one of them again, as a client that was not answered
                response = await client.post(f"{service.url}/v1/interactions", json=given)
                assert response.status_code == 202, response.text
        # Who is behind takes what happens now for the future, and says so.
        refused = await client.post(f"{second.url}/v1/interactions", json=_visit("now", {"time": now.isoformat()}))
        assert refused.status_code == 400
        assert refused.json()["results"][0]["code"] == "time_in_future"
    await until_scored(deployment, engine, 20)
    [view] = await deployment.export()
    assert view["interactions"] == 20
    assert await counted(engine, select(func.count()).select_from(dead_letters)) == 0
    age_s = select(func.abs(func.extract("epoch", func.now() - customers.c.classified_at)))
    assert await counted(engine, age_s) < 60  # whoever scored it: at the database's time
    done = await deployment.run("rebuild")
    assert done.status == 0, done.stdout + done.stderr


def _visit(id_: str, given: dict[str, Any]) -> dict[str, Any]:
    return {"id": id_, "channel": "web", "type": "page_view", "identifiers": {"user_id": "u1"}} | given
