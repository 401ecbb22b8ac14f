"""The script for web pages, in a real browser, on a page of another origin than ingest."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import httpx
from playwright.async_api import BrowserContext, Page

from tests.support.browser import chromium, pages
from tests.support.services import Deployment, until

PAGE = """<!doctype html><html><head><title>Prices</title>
<script src="{ingest}/tierwise.js" data-key="{key}"></script></head><body>
<button data-tierwise="demo" onclick="0">Book a demo</button>
<form name="contact" action="/thanks"><input name="email" value="li@example.com"><button id="send">Send</button></form>
</body></html>"""


class Visit:
    """A visitor with a page open, and what the profile API knows of them."""

    def __init__(self, context: BrowserContext, page: Page, api: str, reader: dict[str, str]) -> None:
        self.context, self.page, self._api, self._reader = context, page, api, reader

    async def visitor(self) -> str | None:
        cookies = {cookie["name"]: cookie["value"] for cookie in await self.context.cookies()}
        return cookies.get("tierwise_id")

    async def timeline(self) -> list[dict[str, Any]]:
        """The oldest first."""
        async with httpx.AsyncClient(base_url=self._api, headers=self._reader) as client:
            found = await client.get(f"/v1/customers/by/anonymous_id/{await self.visitor()}")
            if found.status_code == 404:
                return []
            timeline = await client.get(f"/v1/customers/{found.json()['customer_id']}/timeline")
        return sorted(timeline.json()["items"], key=lambda one: str(one["time"]))

    async def until_known(self, types: list[str]) -> list[dict[str, Any]]:
        async def known() -> bool:
            return sorted(one["type"] for one in await self.timeline()) == sorted(types)

        await until(known, within_s=15)
        return await self.timeline()


async def test_nothing_is_sent_or_stored_before_consent_and_everything_after(embedded: Deployment) -> None:
    ingest, api, _ = await embedded.start_all("ingest", "profile-api", "scoring")
    contents: dict[str, str] = {}
    with pages(contents) as origin:
        created = await embedded.succeed("source", "create", "page", "--browser", "--origin", origin, "--json")
        key = httpx.Response(200, text=created).json()["secret"]
        contents |= {"/prices": PAGE.format(ingest=ingest.url, key=key), "/thanks": "<p>Thank you</p>"}
        async with chromium() as browser:
            context = await browser.new_context()
            page = await context.new_page()
            sent: list[str] = []
            page.on("request", lambda request: sent.append(urlsplit(request.url).path))
            await page.goto(f"{origin}/prices?utm_source=news&utm_medium=email")
            await page.click("[data-tierwise]")
            await asyncio.sleep(0.5)
            visit = Visit(context, page, api.url, dict(await embedded.read_key("tests")))
            assert (await visit.visitor(), "/v1/browser" in sent) == (None, False)

            await page.evaluate("tierwise.consent(true)")
            seen = await visit.until_known(["page_view", "click"])
            assert seen[0]["properties"] == {
                "path": "/prices", "title": "Prices", "referrer": "", "utm_source": "news", "utm_medium": "email",
            }  # fmt: skip
            assert seen[1]["properties"] == {"element": "demo", "path": "/prices"}

            await page.evaluate("history.pushState({}, '', '/prices/teams')")
            await page.click("#send")
            await page.wait_for_url("**/thanks*")
            seen = await visit.until_known(["page_view", "click", "page_view", "form_submitted"])
            assert seen[3]["properties"] == {"form": "contact", "path": "/prices/teams"}

            await page.goto(f"{origin}/prices")
            await visit.until_known(["page_view"] * 3 + ["click", "form_submitted"])
            await page.evaluate("tierwise.consent(false)")
            assert await visit.visitor() is None
            await context.close()
