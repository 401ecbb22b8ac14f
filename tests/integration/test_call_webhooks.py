"""Twilio and systems with a mapping: from the request onto the stream, behind proxies, and to a second go."""

import asyncio
import hmac
import json
import re
import shlex
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]
from typer.testing import CliRunner

from tests.support.ingest import appended, serving
from tests.support.product import Product
from tierwise.cli import build
from tierwise.db.tables import dead_letters
from tierwise.security.personal import Vault
from tierwise.security.source_document import read_source
from tierwise.security.source_registry import create_source, rotate_secret, update_source
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise_ingest.remapping.run import Chosen, Rereader, known_sources, remap

AUTH_TOKEN = "0123456789abcdef0123456789abcdef"
PUBLIC = "https://hooks.example/v1/webhooks/twilio/phone"
CALL = {
    "CallSid": "CA1",
    "CallStatus": "completed",
    "CallDuration": "185",
    "Direction": "outbound-api",
    "From": "+862150000000",
    "To": "+8613800138000",
}
MAPPING = """
interactions:
  - id: {path: $.id}
    time: import
    channel: call
    type: {path: $.result, map: {ok: completed}}
    identifiers: {phone: {path: $.caller}}
"""


def signature(url: str, fields: Mapping[str, str], token: str = AUTH_TOKEN) -> dict[str, str]:
    return {"X-Twilio-Signature": RequestValidator(token).compute_signature(url, fields)}


@pytest.fixture
async def secret_of_phone(engine: AsyncEngine, vault: Vault) -> str:
    async with engine.begin() as connection:
        await create_source(connection, vault, read_source({"name": "phone", "intake": {"formats": ["twilio"]}}))
        return await rotate_secret(connection, vault, "phone", AUTH_TOKEN)


@asynccontextmanager
async def behind(settings: Settings, *trusted: str) -> AsyncIterator[httpx.AsyncClient]:
    """An ingest that trusts the proxies of these networks; requests come from 127.0.0.1."""
    networks = tuple(ip_network(one) for one in trusted)
    async with serving(settings.model_copy(update={"ingest_trusted_proxies": networks})) as client:
        yield client


FORWARDED = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "hooks.example"}


@pytest.mark.usefixtures("secret_of_phone")
async def test_a_call_comes_through_a_trusted_proxy_and_counts_once(
    settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    async with behind(settings, "127.0.0.0/8") as client:
        for _ in range(2):
            headers = FORWARDED | signature(PUBLIC, CALL)
            response = await client.post("/v1/webhooks/twilio/phone", data=CALL, headers=headers)
            assert (response.status_code, response.text) == (200, "<Response/>")
            assert response.headers["tierwise-accepted"] == "1"
        direct = signature("http://ingest/v1/webhooks/twilio/phone", CALL)
        wrong = await client.post("/v1/webhooks/twilio/phone", data=CALL, headers=FORWARDED | direct)
        assert wrong.status_code == 401
    found = await appended(settings, engine, vault)
    assert {(one.source, one.channel, one.type, one.id) for one in found} == {
        ("phone", "call", "completed", "CA1 completed")
    }


@pytest.mark.usefixtures("secret_of_phone")
@pytest.mark.parametrize("trusted", [[], ["10.0.0.0/8"]])
async def test_a_sender_that_is_no_trusted_proxy_does_not_choose_what_its_signature_is_checked_against(
    settings: Settings, trusted: list[str]
) -> None:
    async with behind(settings, *trusted) as client:
        captured = FORWARDED | signature(PUBLIC, CALL)
        refused = await client.post("/v1/webhooks/twilio/phone", data=CALL, headers=captured)
        assert refused.status_code == 401
        own = signature("http://ingest/v1/webhooks/twilio/phone", CALL)
        taken = await client.post("/v1/webhooks/twilio/phone", data=CALL, headers=FORWARDED | own)
        assert taken.status_code == 200


@pytest.mark.usefixtures("secret_of_phone")
async def test_both_tokens_are_good_while_they_rotate(settings: Settings, engine: AsyncEngine, vault: Vault) -> None:
    async with engine.begin() as connection:
        await rotate_secret(connection, vault, "phone", "f" * 32)
    url = "http://ingest/v1/webhooks/twilio/phone"
    async with serving(settings) as client:
        for token, status in ((AUTH_TOKEN, 200), ("f" * 32, 200), ("0" * 32, 401)):
            response = await client.post(url, data=CALL, headers=signature(url, CALL, token))
            assert response.status_code == status


async def test_what_had_no_mapping_yet_is_read_once_it_has(
    settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    async with engine.begin() as connection:
        made = await create_source(connection, vault, read_source({"name": "centre"}))
    call = {"id": "c-1", "result": "ok", "caller": "13800138000"}
    async with serving(settings) as client, open_stream(settings, engine, vault) as stream:
        product = Product(engine, stream, vault, settings)
        response = await client.post(f"/v1/webhooks/mapped/centre?token={made.secret}", json=call)
        told = response.json()
        assert (response.status_code, told["kept"], told["results"][0]["code"]) == (200, True, "no_mapping")
        await product.score()
        async with engine.begin() as connection:
            (letter,) = await connection.execute(select(dead_letters))
            assert made.secret.encode() not in vault.open(letter.ciphertext)
            await update_source(connection, "centre", {"intake": {"mapping": MAPPING}})
        rereader = Rereader(await known_sources(engine), settings, vault.key_hash("ids made from content"))
        await remap(engine, stream, vault, rereader, Chosen())
        await product.score()
        view = await product.view("phone", "+8613800138000")
    assert view["interactions"] == 1


async def test_a_signed_system_needs_no_key_and_a_forged_one_is_refused(
    settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    described: dict[str, Any] = {"name": "centre", "intake": {"mapping": MAPPING, "formats": ["mapped_signed"]}}
    async with engine.begin() as connection:
        await create_source(connection, vault, read_source(described))
        await rotate_secret(connection, vault, "centre", "shared with the call centre")
    body = json.dumps([{"id": n, "result": "ok", "caller": "13800138000"} for n in ("c-1", "c-2")]).encode()
    path = "/v1/webhooks/mapped-signed/centre"
    async with serving(settings) as client:
        for secret, status in ((b"shared with the call centre", 200), (b"guessed", 401)):
            headers = {"X-Tierwise-Signature": hmac.new(secret, body, "sha256").hexdigest()}
            response = await client.post(path, content=body, headers=headers)
            assert response.status_code == status
    assert {one.id for one in await appended(settings, engine, vault)} == {"c-1", "c-2"}


DOCUMENT = (Path(__file__).parents[2] / "docs" / "sources.md").read_text("utf-8")


def blocks(section: str) -> list[tuple[str, str]]:
    """(what to paste, the address that it ends with)."""
    text = DOCUMENT.partition(f"\n### {section}")[2].partition("\n### ")[0]
    return re.findall(r"^```sh\n(.*?)^# https://ingest.example(\S+)\n```", text, re.MULTILINE | re.DOTALL)


def pasted(settings: Settings, script: str, secret: str = "") -> str:
    """Its commands in this process, its file as a shell would write it; the new key, if there is one."""
    assert settings.database_url is not None
    environment = {
        "TIERWISE_DATABASE_URL": settings.database_url.get_secret_value(),
        "TIERWISE_SECRET_KEY": settings.secret_key[0].get_secret_value(),
    }
    mapping = settings.data_dir / "centre.yaml"
    if heredoc := re.search(r"<<'YAML'\n(.*?)^YAML$", script, re.MULTILINE | re.DOTALL):
        mapping.write_text(heredoc[1])
    printed = ""
    for _, command in re.findall(r"^(printf %s .* \| )?tierwise (.*)$", script, re.MULTILINE):
        arguments = shlex.split(command.replace("centre.yaml", str(mapping)))
        done = CliRunner().invoke(build(), arguments, input=secret, env=environment)
        assert done.exit_code == 0, done.output
        printed += done.output
    return "".join(re.findall(r"tw_[\w-]+", printed)[:1])


async def test_what_the_documentation_says_to_paste_works(
    settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    (twilio,), (keyed, signed) = blocks("Twilio"), blocks("Any other system")
    await asyncio.to_thread(pasted, settings, twilio[0], AUTH_TOKEN)
    key = await asyncio.to_thread(pasted, settings, keyed[0])
    await asyncio.to_thread(pasted, settings, signed[0], "shared")
    call = {"id": "c-1", "caller": "13800138000", "ended": "2026-03-02 09:30:00", "result": "answered", "seconds": 60}
    body = json.dumps({"event": "hangup", "call": call}).encode()
    hooks = [
        await _sent(settings, twilio[1], urlencode(CALL).encode(), FORM | signature(f"http://ingest{twilio[1]}", CALL)),
        await _sent(settings, keyed[1].replace("KEY", key), body, {}),
        await _sent(settings, signed[1], body, {"X-Signature": hmac.new(b"shared", body, "sha256").hexdigest()}),
    ]
    assert hooks == [200, 200, 200]
    found = await appended(settings, engine, vault)
    assert sorted(one.source for one in found) == ["centre", "centre-signed", "phone"]


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def _sent(settings: Settings, address: str, body: bytes, headers: Mapping[str, str]) -> int:
    async with serving(settings) as client:
        return (await client.post(address, content=body, headers=headers)).status_code
