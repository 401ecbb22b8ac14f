"""The profile API as a service: its document, its health, and what it does while the database is away."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.stored import happened, store_customer
from tierwise.domain.customer_id import public_id
from tierwise.security.keys import create_read_key
from tierwise.security.personal import Vault, VaultError
from tierwise.settings import Settings
from tierwise_profile_api.app import create_app
from tierwise_profile_api.exporting import VIEWS_PAGE

VISIT = happened("web", "page_view", "2026-11-01T08:00:00+00:00", identifiers={"user_id": "u7"})


@pytest.fixture
async def key(engine: AsyncEngine, vault: Vault) -> str:
    async with engine.begin() as connection:
        return (await create_read_key(connection, vault, name="test")).secret


def client_of(app: object, key: str = "") -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://profile-api", headers=headers)


class Proxy:
    """TCP on loopback to the database's socket, so that the database can be away for one service only."""

    def __init__(self, socket_path: str) -> None:
        self._socket_path = socket_path
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(self._socket_path)
        self._open |= {writer, far_writer}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, far_writer))
                group.create_task(_copy(far_reader, writer))
        finally:
            self._open -= {writer, far_writer}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.transport.abort()


@pytest.fixture
async def proxy(engine: AsyncEngine) -> AsyncIterator[Proxy]:
    async with engine.connect() as connection:
        directory, port = (
            await connection.execute(
                text("SELECT split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port')")
            )
        ).one()
    proxy = Proxy(f"{directory}/.s.PGSQL.{port}")
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture
async def through(proxy: Proxy, settings: Settings, engine: AsyncEngine) -> Settings:
    """The settings, with the database behind the proxy."""
    async with engine.connect() as connection:
        name, user = (await connection.execute(text("SELECT current_database(), current_user"))).one()
    dsn = SecretStr(f"postgresql://{user}@127.0.0.1:{proxy.port}/{name}?sslmode=disable")
    return settings.model_copy(update={"database_url": dsn})


async def until_ready(client: httpx.AsyncClient) -> None:
    for _ in range(200):
        if (await client.get("/readyz")).status_code == 200:
            return
        await asyncio.sleep(0.1)
    pytest.fail("it does not become ready")


async def test_it_comes_up_without_the_database_and_recovers(through: Settings, proxy: Proxy, key: str) -> None:
    await proxy.stop()
    app = create_app(through)
    async with app.router.lifespan_context(app), client_of(app, key) as client:
        assert (await client.get("/healthz")).status_code == 200
        unready = await client.get("/readyz")
        assert unready.status_code == 503
        assert not unready.json()["checks"]["database"]["ready"]
        refused = await client.get("/v1/customers")
        assert refused.status_code == 503
        assert refused.headers["content-type"] == "application/problem+json"
        assert int(refused.headers["retry-after"]) > 0
        await proxy.start()
        await until_ready(client)
        assert (await client.get("/v1/customers")).json() == {"items": [], "next_cursor": None}


async def test_a_database_that_goes_away_and_comes_back_is_noticed_both_times(
    through: Settings, proxy: Proxy, key: str, engine: AsyncEngine, vault: Vault
) -> None:
    async with engine.begin() as connection:
        await store_customer(connection, vault, 1, [VISIT])
    app = create_app(through)
    path = f"/v1/customers/{public_id(1)}"
    async with app.router.lifespan_context(app), client_of(app, key) as client:
        assert (await client.get(path)).status_code == 200
        await proxy.stop()
        refused = await client.get(path)
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert (await client.get("/readyz")).status_code == 503
        await proxy.start()
        assert (await client.get(path)).status_code == 200
        await until_ready(client)


async def test_connections_that_the_server_closed_are_replaced_unseen(
    settings: Settings, key: str, engine: AsyncEngine, vault: Vault
) -> None:
    async with engine.begin() as connection:
        await store_customer(connection, vault, 1, [VISIT])
    app = create_app(settings)
    path = f"/v1/customers/{public_id(1)}"
    async with app.router.lifespan_context(app), client_of(app, key) as client:
        assert {r.status_code for r in await asyncio.gather(*(client.get(path) for _ in range(20)))} == {200}
        async with engine.connect() as connection:
            await connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        assert {r.status_code for r in await asyncio.gather(*(client.get(path) for _ in range(20)))} == {200}


async def test_its_connections_can_only_read(settings: Settings) -> None:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        reads = app.state.opening.value.reads
        assert (await reads.row("SHOW transaction_read_only"))[0] == "on"
        assert (await reads.row("SHOW statement_timeout"))[0] == "5s"


async def test_a_wrong_secret_key_stops_it_at_once(settings: Settings) -> None:
    wrong = settings.model_copy(update={"secret_key": (SecretStr("another key that nobody has ever used"),)})
    app = create_app(wrong)
    with pytest.raises(VaultError):
        async with app.router.lifespan_context(app):
            pass


async def test_a_database_that_was_not_migrated_is_told_by_readiness(empty_database: str, settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"database_url": SecretStr(empty_database)}))
    async with app.router.lifespan_context(app), client_of(app) as client:
        unready = await client.get("/readyz")
        assert unready.status_code == 503
        assert "tierwise migrate" in unready.text


async def test_an_export_longer_than_one_read_is_whole(
    settings: Settings, key: str, engine: AsyncEngine, vault: Vault
) -> None:
    customers = 2 * VIEWS_PAGE + 1
    async with engine.begin() as connection:
        await store_customer(connection, vault, 1, [VISIT])
        await connection.execute(text(_COPIES), {"copies": customers})
    app = create_app(settings)
    async with app.router.lifespan_context(app), client_of(app, key) as client:
        lines = (await client.get("/v1/export")).content.splitlines()
    ids = [msgspec.json.decode(line)["customer_id"] for line in lines]
    assert ids == [public_id(number) for number in range(1, customers + 1)]


_COPIES = """
    INSERT INTO customers
    SELECT number, merged_into, ledger, attributes, result, rulebook_id, cuts, first_seen, last_seen, stage_since,
           classified_at, sequence, version
    FROM customers, generate_series(2, :copies) AS number
"""


class TestDocument:
    async def test_every_operation_tells_its_key_its_scope_and_its_statuses(self, settings: Settings) -> None:
        async with client_of(create_app(settings)) as client:
            document = (await client.get("/openapi.json")).json()
        assert document["openapi"].startswith("3.1")
        for path, operations in document["paths"].items():
            for operation in operations.values():
                statuses = set(operation["responses"])
                assert {"400", "401", "403", "503"} < statuses & {
                    "200",
                    "201",
                    "202",
                    "204",
                    "400",
                    "401",
                    "403",
                    "503",
                }, path
                assert "422" not in statuses
                assert operation["security"][0]["readKey"] or path == "/v1/tokens", (
                    path
                )  # which passes on its key's own
        assert "422" not in str(document["paths"])
        assert {"ProblemDetails", "Customer", "TimelineItem", "Change"} <= set(document["components"]["schemas"])

    async def test_its_references_lead_somewhere(self, settings: Settings) -> None:
        document = create_app(settings).openapi()

        def references(node: object) -> list[str]:
            if isinstance(node, dict):
                own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
                return own + [found for value in node.values() for found in references(value)]
            return [found for value in node for found in references(value)] if isinstance(node, list) else []

        for reference in references(document):
            target: object = document
            for part in reference.removeprefix("#/").split("/"):
                assert isinstance(target, dict)
                assert part in target, reference
                target = target[part]


async def test_what_the_framework_refuses_is_a_problem_too(settings: Settings) -> None:
    async with client_of(create_app(settings)) as client:
        for method, path, status in [
            ("GET", "/nothing", 404),
            ("GET", "/v1/customers/", 404),
            ("POST", "/v1/customers", 405),
            ("DELETE", "/v1/export", 405),
        ]:
            response = await client.request(method, path)
            assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")


async def test_metrics_name_routes_by_template(settings: Settings, key: str) -> None:
    app = create_app(settings)
    async with app.router.lifespan_context(app), client_of(app, key) as client:
        await client.get("/v1/customers/by/email/li@example.com")
        metrics = (await client.get("/metrics")).text
    assert 'route="/v1/customers/by/{kind}/{value:path}"' in metrics
    assert "li@example.com" not in metrics


async def test_the_command_serves_and_ends_cleanly_on_sigterm(settings: Settings, key: str, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert settings.database_url is not None
    environment = os.environ | {
        "TIERWISE_DATABASE_URL": settings.database_url.get_secret_value(),
        "TIERWISE_SECRET_KEY": settings.secret_key[0].get_secret_value(),
        "TIERWISE_DATA_DIR": str(tmp_path),
        "TIERWISE_PROFILE_API_PORT": str(port),
    }
    command = str(Path(sys.executable).with_name("tierwise"))
    process = await asyncio.create_subprocess_exec(
        command, "profile-api", env=environment, cwd=tmp_path, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            async with asyncio.timeout(20):
                while True:
                    try:
                        if (await client.get("/readyz")).status_code == 200:
                            break
                    except httpx.ConnectError:
                        await asyncio.sleep(0.1)
            listed = await client.get("/v1/customers", headers={"Authorization": f"Bearer {key}"})
            assert listed.json() == {"items": [], "next_cursor": None}
            missing = await client.get("/v1/customers/%ff", headers={"Authorization": f"Bearer {key}"})
            assert missing.status_code == 404
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            _, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    assert b"Traceback" not in errors
