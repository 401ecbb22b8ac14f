"""The script for web pages, in a real browser, on a page of another origin than ingest."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from playwright.async_api import BrowserContext, Page

from tests.support.browser import chromium, pages
from tests.support.services import Deployment, until

SOURCES = (Path(__file__).parents[2] / "docs" / "sources.md").read_text("utf-8")

HEAD = "<!doctype html><html><head><title>Prices</title></head><body>"


def pasted(section: str, ingest: str, key: str) -> str:
    """The lines that a section of docs/sources.md tells to paste, for this ingest and key."""
    [lines] = re.findall(rf"^### [^\n]*\(`{section}`\)\n\n```html\n(.*?)^```", SOURCES, re.MULTILINE | re.DOTALL)
    return str(lines).replace("http://127.0.0.1:8001", ingest).replace("KEY", key)


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


async def source(deployment: Deployment, *arguments: str) -> str:
    """A new source's write key."""
    created = await deployment.succeed("source", "create", *arguments, "--json")
    return str(json.loads(created)["secret"])


async def test_nothing_is_sent_or_stored_before_consent_and_everything_after(embedded: Deployment) -> None:
    ingest, api, _ = await embedded.start_all("ingest", "profile-api", "scoring")
    contents = {"/thanks": "<p>Thank you</p>", "/demo": "<p>A demo</p>"}
    with pages(contents) as origin:
        key = await source(embedded, "page", "--browser", "--origin", origin)
        form = '<form name="contact" action="/thanks"><input name="email" value="a@b.c"><button>Send</button></form>'
        contents["/prices"] = HEAD + pasted("browser", ingest.url, key) + form
        async with chromium() as browser:
            context = await browser.new_context()
            page = await context.new_page()
            sent: list[str] = []
            page.on("request", lambda request: sent.append(urlsplit(request.url).path))
            await page.goto(f"{origin}/prices?utm_source=news&utm_medium=email")
            await page.evaluate("history.pushState({}, '', '/prices/teams')")
            await asyncio.sleep(0.5)
            visit = Visit(context, page, api.url, dict(await embedded.read_key("tests")))
            assert (await visit.visitor(), "/v1/browser" in sent) == (None, False)

            await page.click("text=Yes, you may")
            first, second = await visit.until_known(["page_view", "page_view"])
            assert first["properties"] == {
                "path": "/prices", "title": "Prices", "referrer": "", "utm_source": "news", "utm_medium": "email",
            }  # fmt: skip
            assert second["properties"]["path"] == "/prices/teams"

            await page.click("text=Book a demo")
            await page.wait_for_url("**/demo")
            await page.goto(f"{origin}/prices")
            await page.click("text=Send")
            await page.wait_for_url("**/thanks*")
            seen = await visit.until_known(["page_view"] * 3 + ["click", "form_submitted"])
            told = {one["type"]: one["properties"] for one in seen}
            assert told["click"] == {"element": "demo", "path": "/prices/teams"}
            assert told["form_submitted"] == {"form": "contact", "path": "/prices"}

            await page.goto(f"{origin}/prices")
            await page.evaluate("tierwise.consent(false)")
            assert await visit.visitor() is None
            await context.close()


async def test_a_form_and_a_picture_need_no_script(embedded: Deployment) -> None:
    ingest, api, _ = await embedded.start_all("ingest", "profile-api", "scoring")
    contents: dict[str, str] = {}
    with pages(contents) as origin:
        page_key = await source(embedded, "page", "--browser", "--origin", origin)
        trust = ("--channel", "web", "--kind", "email", "--kind", "anonymous_id", "--no-links")
        form_key = await source(embedded, "contact", *trust, "--origin", origin)
        contents["/"] = HEAD + pasted("pixel", ingest.url, page_key) + pasted("form", ingest.url, form_key)
        async with chromium() as browser:
            context = await browser.new_context(java_script_enabled=False)
            page = await context.new_page()
            await page.goto(origin)
            await page.fill("[name=email]", "li@example.com")
            await page.fill("[name=topic]", "课程")
            await page.click("text=Send")
            await page.wait_for_selector("text=谢谢")
            await context.close()
        reader = dict(await embedded.read_key("tests"))
        async with httpx.AsyncClient(base_url=api.url, headers=reader) as client:
            for identifier, type_ in (
                ("email/li@example.com", "form_submitted"),
                ("anonymous_id/visitor-7", "page_view"),
            ):

                async def known(identifier: str = identifier) -> bool:
                    return (await client.get(f"/v1/customers/by/{identifier}")).status_code == 200

                await until(known, within_s=15)
                customer = (await client.get(f"/v1/customers/by/{identifier}")).json()["customer_id"]
                [one] = (await client.get(f"/v1/customers/{customer}/timeline")).json()["items"]
                assert one["type"] == type_
