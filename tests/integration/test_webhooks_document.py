"""docs/webhooks.md: its receiver takes what the commands make and the service sends, and Node's library agrees."""

import asyncio
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from tests.support.command import tierwise
from tests.support.deliveries import LOOPBACK, endpoint, webhooks
from tests.support.importing import counted
from tests.support.live import record
from tests.support.node import run_client
from tests.support.services import free_port, until
from tierwise.cli import build
from tierwise.db.tables import deliveries
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.webhooks.document import read_subscription
from tierwise_scoring.webhooks.schedule import RETRIES
from tierwise_scoring.webhooks.service import send_webhooks

DOCUMENT = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text("utf-8")


def examples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


@asynccontextmanager
async def receiver(directory: Path, secret: str, port: int) -> AsyncIterator[asyncio.StreamReader]:
    """The document's, on this port; what it prints."""
    [source] = examples("python")
    script = directory / "receiver.py"
    script.write_text(source.replace("8008", str(port)))
    process = await asyncio.create_subprocess_exec(
        sys.executable, script, env=os.environ | {"WEBHOOK_SECRET": secret},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield process.stdout
    finally:
        process.kill()
        await process.wait()


async def test_the_receiver_takes_what_the_commands_make_and_the_service_sends(
    settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    port = free_port()
    allowing = settings.model_copy(update={"webhook_allowed_networks": (LOOPBACK,)})
    made = await tierwise(settings, "webhook", "create", f"http://127.0.0.1:{port}/", "--aspect", "tier", "--json")
    assert made.status == 0, made.stderr
    subscription, secret = msgspec.json.decode(made.stdout).values()
    name = subscription["id"]
    sending = asyncio.create_task(send_webhooks(engine, vault, allowing, CollectorRegistry()))
    try:
        async with receiver(settings.data_dir, secret, port) as printed:
            await until(lambda: _listens(port), within_s=10)
            tested = await tierwise(settings, "webhook", "test", name)
            assert (tested.status, tested.stdout.split(":")[0]) == (0, "delivered")
            async with engine.begin() as connection:
                await record(connection, 7, 1)
                await record(connection, 7, 2, "lifecycle")
            async with asyncio.timeout(10):
                lines = [(await printed.readline()).decode().split()[0] for _ in range(2)]
            await until(lambda: _none_pending(engine), within_s=10)  # what was printed is noted a moment later
        assert lines == ["tierwise.webhook.test.v1", "tierwise.customer.tier-changed.v1"]
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)

    logged, listed = await asyncio.gather(
        tierwise(settings, "webhook", "deliveries", name, "--json"),
        tierwise(settings, "webhook", "list"),
    )
    assert [one["state"] for one in msgspec.json.decode(logged.stdout)] == ["delivered"] * 2
    assert (listed.status, "aspects: tier" in listed.stdout, secret in listed.stdout) == (0, True, False)


@pytest.mark.parametrize(
    "wrong",
    [
        ("create", "ftp://x"),
        ("create", "https://x", "--to", ""),
        ("create", "https://x", "--request", "/dev/null"),
        ("replay", "sub_1", "--from", "yesterday"),
    ],
)
def test_wrong_use_is_told_before_anything_is_done(wrong: tuple[str, ...]) -> None:
    assert CliRunner().invoke(build(), ["webhook", *wrong]).exit_code == 2


async def test_the_library_for_node_verifies_what_is_sent(engine: AsyncEngine, vault: Vault) -> None:
    async with webhooks(engine, vault) as hooks, endpoint() as one:
        subscription, secret = await hooks.subscribe(one.url)
        async with engine.begin() as connection:
            for sequence, value in enumerate(("A", "高", "é\u2028"), start=1):
                await record(connection, 7, sequence, "tag:behaviour.browsing", to=value)
        await hooks.send(subscription)
    plan: dict[str, Any] = {
        "secret": secret,
        "publicKey": subscription.live[0].secret.public_text,
        "deliveries": [{"headers": dict(each.headers), "body": each.body.decode()} for each in one.received],
    }
    events = await run_client("webhooks.mjs", plan)
    assert [event["data"]["to"] for event in events] == ["A", "高", "é\u2028"]


async def test_a_destination_is_made_as_the_document_says(settings: Settings, tmp_path: Path) -> None:
    [request] = [one for one in examples("json") if "{{" in one]
    [command] = [one for one in examples("sh") if "--request" in one]
    (tmp_path / "crm.json").write_text(request, "utf-8")
    arguments = [str(tmp_path / one) if one == "crm.json" else one for one in shlex.split(command)[1:]]
    made = await tierwise(settings, *arguments, "--json")
    assert made.status == 0, made.stderr
    shown = msgspec.json.decode(made.stdout)["subscription"]
    assert shown["request"] == {**msgspec.json.decode(request), "headers": {"authorization": "***"}}
    assert shown["filters"]["aspects"] == ["tier"]


def test_the_options_and_the_schedule_are_those_of_the_code() -> None:
    named = "5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h"
    assert named in DOCUMENT
    units = {"s": 1, "min": 60, "h": 3_600}
    seconds = [int(number) * units[unit] for number, unit in re.findall(r"(\d+) (s|min|h)", named)]
    assert [pause.total_seconds() for pause in RETRIES] == seconds
    given = {"aspects": ["tier"], "to": ["A", "B"]}
    assert read_subscription({"url": "https://crm.example/tierwise", "filters": given}).filters.new == ("A", "B")


async def _none_pending(engine: AsyncEngine) -> bool:
    pending = select(func.count()).select_from(deliveries).where(deliveries.c.state == "pending")
    return await counted(engine, pending) == 0


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
