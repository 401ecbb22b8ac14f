"""docs/live.html in a real browser: a customer's profile as it changes, with a browser's token."""

from pathlib import Path

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.browser import chromium, pages
from tests.support.live import listening_api, record
from tests.support.stored import happened, store_customer
from tierwise.domain.customer_id import public_id
from tierwise.security.keys import create_read_key
from tierwise.security.personal import Vault
from tierwise.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "live.html").read_text("utf-8")
LI = 1


async def test_a_page_shows_a_profile_and_its_changes_as_they_happen(
    engine: AsyncEngine, vault: Vault, settings: Settings
) -> None:
    async with engine.begin() as connection:
        await store_customer(
            connection,
            vault,
            LI,
            [happened("web", "page_view", "2026-11-01T08:00:00+00:00", identifiers={"user_id": "u"})],
        )
        key = await create_read_key(connection, vault, name="backend")
    contents: dict[str, str] = {}
    with pages(contents) as origin:
        async with (
            listening_api(settings.model_copy(update={"profile_api_origins": (origin,)})) as api,
            chromium() as browser,
        ):
            contents["/live.html"] = PAGE.replace("http://127.0.0.1:8002", api)
            async with httpx.AsyncClient(base_url=api, headers={"Authorization": f"Bearer {key.secret}"}) as backend:
                token = (await backend.post("/v1/tokens", json={"customer_id": public_id(LI)})).json()["token"]
            shown = await browser.new_page()
            await shown.goto(f"{origin}/live.html#{public_id(LI)}/{token}")
            await shown.wait_for_selector("#state:has-text('live')")
            await shown.wait_for_selector("#tier:text-matches('^[A-E]$')")
            async with engine.begin() as connection:
                await record(connection, LI, 50, **{"from": "E", "to": "D"})
            await shown.wait_for_selector("li:text-is('tier: E → D')")
            await shown.close()
