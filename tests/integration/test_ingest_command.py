"""`tierwise ingest` as a process."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.ingest import appended, write_key
from tests.support.services import until
from tierwise.security.personal import Vault
from tierwise.settings import Settings

VISIT = {"id": "v1", "channel": "web", "type": "page_view", "identifiers": {"email": "li@example.com"}}


@contextmanager
def running(settings: Settings, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, once it is ready, and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert settings.database_url is not None
    environment = os.environ | {
        "TIERWISE_DATABASE_URL": settings.database_url.get_secret_value(),
        "TIERWISE_SECRET_KEY": settings.secret_key[0].get_secret_value(),
        "TIERWISE_DATA_DIR": str(settings.data_dir),
        "TIERWISE_INGEST_PORT": str(port),
        "TIERWISE_LOG_FORMAT": "json",
        "TIERWISE_LOG_LEVEL": "debug",
    }
    command = [sys.executable, "-c", "from tierwise.cli import main; main()", "ingest", *arguments]
    process = subprocess.Popen(
        command, env=environment, cwd=settings.data_dir, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(process, address)
        yield process, address
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_until_ready(process: subprocess.Popen[str], address: str) -> None:
    started = time.monotonic()
    while time.monotonic() - started < 60:
        assert process.poll() is None, process.stderr and process.stderr.read()
        try:
            if httpx.get(f"{address}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("it did not become ready")


async def test_it_serves_and_stops_when_told_to(settings: Settings, engine: AsyncEngine, vault: Vault) -> None:
    key = await write_key(engine, vault)
    with running(settings) as (process, address):
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {key.secret}"}) as client:
            assert (await client.post(f"{address}/v1/interactions", json=VISIT)).status_code == 202
            assert (await client.get(f"{address}/li@example.com")).status_code == 404
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, logged = process.communicate(timeout=10)
        assert process.returncode == 0, logged
        assert time.monotonic() - started < 10
    lines = [json.loads(line) for line in logged.splitlines()]
    requests = [(line["route"], line["status"]) for line in lines if line["event"] == "request"]
    assert ("/v1/interactions", 202) in requests
    assert ("unmatched", 404) in requests
    assert "li@example.com" not in logged
    assert key.secret not in logged
    assert [interaction.id for interaction in await appended(settings, engine, vault)] == ["v1"]


async def metrics_of(address: str) -> str:
    """Of the process that takes a new connection."""
    async with httpx.AsyncClient() as client:
        return (await client.get(f"{address}/metrics")).text


async def test_several_processes_share_the_port_and_each_answers_for_the_metrics_of_all(
    settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    key = await write_key(engine, vault)
    with running(settings, "--workers", "2") as (process, address):
        for number in range(8):
            async with httpx.AsyncClient(headers={"Authorization": f"Bearer {key.secret}"}) as client:
                answer = await client.post(f"{address}/v1/interactions", json=VISIT | {"id": f"v{number}"})
                assert answer.status_code == 202

        async def all_told() -> bool:  # to each other, once a second
            told = [await metrics_of(address) for _ in range(6)]
            return all('accepted_total{source="shop"} 8.0' in one for one in told)

        await until(all_told, within_s=20)
        build = r'^tierwise_build_info\{.*service="ingest".*\} 1.0$'
        assert re.search(build, await metrics_of(address), re.MULTILINE)
        process.send_signal(signal.SIGTERM)
        _, logged = process.communicate(timeout=10)
        assert process.returncode == 0, logged
    assert len(await appended(settings, engine, vault)) == 8


async def test_a_wrong_secret_key_ends_it_with_one_line(settings: Settings) -> None:
    wrong = settings.model_copy(update={"secret_key": (SecretStr("another-secret-key-than-the-database-has"),)})
    with pytest.raises(AssertionError, match="TIERWISE_SECRET_KEY is not the one") as caught, running(wrong):
        pass
    assert "Traceback" not in str(caught.value)
