"""Apache Kafka behind TLS and SASL: what the settings say is what is spoken, and what is wrong is named."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.support.kafka import PASSWORD, USER, Broker
from tierwise.settings import SettingError, Settings
from tierwise.stream.open import kafka_stream
from tierwise.stream.port import Outgoing, Partition, StreamUnavailable

TOPIC = "secured"


@pytest.fixture(scope="session")
def broker(kafka: Broker | None) -> Broker:
    if kafka is None:
        pytest.skip("the broker that was given has no listeners of the tests' own")
    return kafka


@pytest.fixture
def scram(broker: Broker) -> dict[str, Any]:
    """Settings that are right."""
    return {
        "kafka_bootstrap_servers": broker.secure_servers,
        "kafka_security_protocol": "SASL_SSL",
        "kafka_username": USER,
        "kafka_password": SecretStr(PASSWORD),
        "kafka_ca_file": broker.authority.certificate,
    }


async def talk(given: dict[str, Any]) -> list[bytes]:
    """Make a topic, append to it and read it as a group: producer, consumer and cluster client each connect."""
    stream = kafka_stream(Settings(_env_file=None, **given))  # type: ignore[call-arg]
    assert stream is not None

    async def from_the_start(partitions: Any) -> dict[Partition, int]:
        return dict.fromkeys(partitions, 0)

    async def nothing(_: Any) -> None: ...

    async with stream:
        await stream.create_topics({TOPIC: 1})
        await stream.append(TOPIC, [Outgoing(b"key", b"value")])
        reader = await stream.reader(TOPIC, group="secured", assigned=from_the_start, revoked=nothing)
        try:
            while not (slices := await reader.read(max_records=1, max_wait_ms=1_000)):
                pass
        finally:
            await reader.close()
    return [record.value for part in slices for record in part.records]


async def refusal(given: dict[str, Any]) -> str:
    stream = kafka_stream(Settings(_env_file=None, **given))  # type: ignore[call-arg]
    assert stream is not None
    async with stream:
        with pytest.raises(StreamUnavailable) as appending:
            await stream.append(TOPIC, [Outgoing(b"key", b"value")])
        with pytest.raises(StreamUnavailable) as asking:
            await stream.check()
    assert str(appending.value).partition(": ")[2] == str(asking.value).partition(": ")[2]
    return str(asking.value)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
async def test_the_stream_works_over_tls_with_a_password(scram: dict[str, Any], mechanism: str) -> None:
    assert await talk(scram | {"kafka_sasl_mechanism": mechanism}) == [b"value"]


async def test_the_stream_works_over_tls_with_a_certificate_of_ours(broker: Broker) -> None:
    given = {
        "kafka_bootstrap_servers": broker.mutual_servers,
        "kafka_security_protocol": "SSL",
        "kafka_ca_file": broker.authority.certificate,
        "kafka_certificate_file": broker.authority.client,
    }
    assert await talk(given) == [b"value"]
    assert "TIERWISE_KAFKA_SECURITY_PROTOCOL" in await refusal(given | {"kafka_certificate_file": None})


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"kafka_password": SecretStr("not-it")}, "TIERWISE_KAFKA_PASSWORD"),
        ({"kafka_username": "nobody"}, "TIERWISE_KAFKA_USERNAME"),
        ({"kafka_sasl_mechanism": "SCRAM-SHA-256"}, "TIERWISE_KAFKA_SASL_MECHANISM"),
        ({"kafka_security_protocol": "PLAINTEXT"}, "TIERWISE_KAFKA_SECURITY_PROTOCOL"),
        ({"kafka_ca_file": None}, "TIERWISE_KAFKA_CA_FILE"),
    ],
)
async def test_what_a_broker_refuses_names_the_setting_and_no_secret(
    scram: dict[str, Any], wrong: dict[str, Any], named: str
) -> None:
    told = await refusal(scram | wrong)

    assert named in told
    assert PASSWORD not in told
    assert "not-it" not in told


async def test_a_broker_whom_another_authority_vouches_for_is_not_talked_to(
    scram: dict[str, Any], broker: Broker
) -> None:
    assert "TIERWISE_KAFKA_CA_FILE" in await refusal(scram | {"kafka_ca_file": broker.authority.stranger})


async def test_tls_spoken_to_a_broker_without_it_names_the_protocol(scram: dict[str, Any], broker: Broker) -> None:
    told = await refusal(scram | {"kafka_bootstrap_servers": broker.bootstrap_servers})

    assert "TIERWISE_KAFKA_SECURITY_PROTOCOL" in told


@pytest.mark.parametrize("field", ["kafka_ca_file", "kafka_certificate_file"])
def test_a_file_without_a_certificate_is_a_wrong_setting(tmp_path: Path, field: str) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    given: dict[str, Any] = {"kafka_bootstrap_servers": "127.0.0.1:1", "kafka_security_protocol": "SSL", field: empty}

    with pytest.raises(SettingError, match=f"TIERWISE_{field.upper()}"):
        kafka_stream(Settings(_env_file=None, **given))  # type: ignore[call-arg]
