"""What the stream on Apache Kafka promises beside the port."""

import os

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.contract.conftest import KafkaLog
from tierwise.stream.port import Outgoing, Stream, StreamUnavailable


@pytest.fixture
async def stream(kafka_log: KafkaLog) -> Stream:
    return await kafka_log.open()


@pytest.fixture
def log(kafka_log: KafkaLog) -> KafkaLog:
    return kafka_log


async def test_after_a_batch_that_the_broker_refuses_the_next_ones_are_taken(
    log: KafkaLog, stream: Stream, topic: str
) -> None:
    """The sequence numbers of a refused batch are used up: the same producer would be refused for ever."""
    await stream.append(topic, [Outgoing(b"k", b"before", partition=0)])
    await _configure(log, topic, {"max.message.bytes": "1000"})
    with pytest.raises(StreamUnavailable, match="appending to"):
        await stream.append(topic, [Outgoing(b"k", os.urandom(5_000), partition=0)])
    for partition in (0, 1):
        await stream.append(topic, [Outgoing(b"k", b"after", partition=partition)])
    assert {one.index: end for one, end in (await stream.ends(topic)).items()} == {0: 2, 1: 1, 2: 0, 3: 0}


async def test_topics_keep_records_for_the_retention_of_the_settings(log: KafkaLog, stream: Stream, topic: str) -> None:
    async with log._administration() as admin:
        answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    entries = {entry[0]: entry[1] for answer in answers for resource in answer.resources for entry in resource[4]}
    assert entries["retention.ms"] == str(log.settings.stream_retention_hours * 3_600_000)
    assert entries["cleanup.policy"] == "delete"
    assert entries["min.insync.replicas"] == "1"


async def _configure(log: KafkaLog, topic: str, configs: dict[str, str]) -> None:
    admin: AIOKafkaAdminClient
    async with log._administration() as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])
