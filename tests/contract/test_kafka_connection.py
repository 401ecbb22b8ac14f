"""Connections to Kafka on uvloop, which services run on, that break at the moment they are written to."""

import asyncio

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import ApiVersionRequest

from tests.contract.conftest import KafkaLog
from tests.support.proxy import Proxy
from tests.support.reading import PATIENCE_S
from tierwise.stream.kafka_access import KafkaAccess


async def test_a_write_after_the_broker_hung_up_says_so_as_aiokafka_expects_it(kafka_log: KafkaLog) -> None:
    access = KafkaAccess.of(kafka_log.settings)
    assert access is not None
    host, port = access.servers.split(":")

    async def write() -> None:
        proxy = Proxy(lambda: asyncio.open_connection(host, int(port)))
        await proxy.start()
        try:
            connection = await create_conn("127.0.0.1", proxy.port)
            proxy.cut()
            with pytest.raises(KafkaConnectionError, match="broken"):
                await _write_until_it_fails(connection)
            assert not connection.connected()
        finally:
            await proxy.go_away()

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.to_thread(uvloop.run, write())


async def _write_until_it_fails(connection: AIOKafkaConnection) -> None:
    """In between, the transport learns of it before whoever reads does."""
    while True:
        connection.send(ApiVersionRequest()).close()
        await asyncio.sleep(0)
