"""What is asked of a Kafka cluster beside appending and reading: topics, their ids, the ends of partitions."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError, KafkaError, NoError, TopicAlreadyExistsError, for_code
from aiokafka.protocol.admin import CreateTopicsRequest
from aiokafka.protocol.offset import OffsetRequest, OffsetResetStrategy

from tierwise.stream.kafka_access import KafkaAccess, connected
from tierwise.stream.kafka_metadata import MetadataWithTopicIds
from tierwise.stream.port import Partition, StreamUnavailable

REQUEST_TIMEOUT_MS = 10_000
_CREATION_WAIT_S = 15.0
_POLL_S = 0.1
_READ_UNCOMMITTED = 0


@contextmanager
def unavailable_unless(done: str) -> Iterator[None]:
    """Raises StreamUnavailable for Kafka's errors and timeouts; `done` says what was being done."""
    try:
        yield
    except (KafkaError, OSError) as error:  # TimeoutError is an OSError
        raise StreamUnavailable(f"{done}: {str(error) or type(error).__name__}") from error


@dataclass(frozen=True, slots=True)
class Topics:
    """Of one metadata answer. `leaders`: node by partition, -1 where there is none now."""

    cluster: str
    controller: int
    leaders: Mapping[Partition, int]

    def partitions(self, topic: str) -> list[Partition]:
        return sorted(partition for partition in self.leaders if partition.topic == topic)


class KafkaCluster:
    """A client that connects when it is first asked, and anew after a failure."""

    def __init__(self, access: KafkaAccess) -> None:
        self._access = access
        self._client: AIOKafkaClient | None = None
        self._lock = asyncio.Lock()

    async def describe(self, topics: Sequence[str]) -> Topics:
        """The named topics; those that do not exist are missing. Raises StreamUnavailable."""
        async with self._connected("looking up topics") as client:
            return await self._describe(client, topics)

    async def bounds(self, topic: str) -> Mapping[Partition, tuple[int, int]]:
        """The first position kept and the end, of each partition. Raises StreamUnavailable."""
        async with self._connected("looking up the ends of partitions") as client:
            leaders = (await self._describe(client, [topic])).leaders
            first = await self._positions(client, topic, leaders, OffsetResetStrategy.EARLIEST)
            ends = await self._positions(client, topic, leaders, OffsetResetStrategy.LATEST)
        return {partition: (first[partition.index], ends[partition.index]) for partition in sorted(leaders)}

    async def ends(self, topic: str) -> Mapping[Partition, int]:
        async with self._connected("looking up the ends of partitions") as client:
            leaders = (await self._describe(client, [topic])).leaders
            ends = await self._positions(client, topic, leaders, OffsetResetStrategy.LATEST)
        return {partition: ends[partition.index] for partition in sorted(leaders)}

    async def create_topics(
        self, topics: Mapping[str, int], *, replication_factor: int, settings: Mapping[str, str]
    ) -> None:
        """Create the missing ones and return when each partition has a leader. Raises StreamUnavailable."""
        wanted: list[tuple[object, ...]] = [
            (name, count, replication_factor, [], list(settings.items())) for name, count in topics.items()
        ]
        async with self._connected("creating topics") as client:
            controller = (await self._describe(client, [])).controller
            request = CreateTopicsRequest(wanted, REQUEST_TIMEOUT_MS, False)
            for name, code, message in (await client.send(controller, request)).topic_errors:
                if for_code(code) not in (NoError, TopicAlreadyExistsError):
                    raise StreamUnavailable(f"creating the topic {name}: {message or for_code(code).__name__}")
        async with asyncio.timeout(_CREATION_WAIT_S):
            while not await self._all_led(topics):  # noqa: ASYNC110  (it is the cluster that we wait for)
                await asyncio.sleep(_POLL_S)

    async def close(self) -> None:
        async with self._lock:
            await self._drop()

    async def _all_led(self, topics: Mapping[str, int]) -> bool:
        described = await self.describe(list(topics))
        led = all(leader >= 0 for leader in described.leaders.values())
        return led and all(described.partitions(name) for name in topics)

    async def _describe(self, client: AIOKafkaClient, topics: Sequence[str]) -> Topics:
        answer = await client.send(client.get_random_node(), MetadataWithTopicIds(list(topics)))
        leaders: dict[Partition, int] = {}
        for code, name, topic_id, _, partitions, *_ in answer.topics:
            if for_code(code) is NoError:
                for _, index, leader, *_ in partitions:
                    leaders[Partition(answer.cluster_id, str(topic_id), name, index)] = leader
        return Topics(answer.cluster_id, answer.controller_id, leaders)

    async def _positions(
        self, client: AIOKafkaClient, topic: str, leaders: Mapping[Partition, int], which: int
    ) -> dict[int, int]:
        while True:
            try:
                return await self._ask_positions(client, topic, leaders, which)
            except KafkaError as error:
                # The metadata know of a new topic, or of a new leader, a moment before the broker does.
                if not (error.retriable and error.invalid_metadata):
                    raise
                await asyncio.sleep(_POLL_S)
                leaders = (await self._describe(client, [topic])).leaders

    async def _ask_positions(
        self, client: AIOKafkaClient, topic: str, leaders: Mapping[Partition, int], which: int
    ) -> dict[int, int]:
        by_leader: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        for partition, leader in leaders.items():
            by_leader[leader].append((partition.index, which))
        positions: dict[int, int] = {}
        for leader, asked in by_leader.items():
            answer = await client.send(leader, OffsetRequest(-1, _READ_UNCOMMITTED, [(topic, asked)]))
            for _, partitions in answer.topics:
                for index, code, _timestamp, offset in partitions:
                    if for_code(code) is not NoError:
                        raise for_code(code)(f"{topic}[{index}]")
                    positions[index] = offset
        return positions

    @asynccontextmanager
    async def _connected(self, doing: str) -> AsyncIterator[AIOKafkaClient]:
        with unavailable_unless(doing):
            async with self._lock:
                try:
                    async with asyncio.timeout(REQUEST_TIMEOUT_MS / 1000):
                        if self._client is None:
                            self._client = AIOKafkaClient(
                                **self._access.options(), request_timeout_ms=REQUEST_TIMEOUT_MS
                            )
                            await self._bootstrap(self._client, doing)
                        yield self._client
                except BaseException:
                    await self._drop()  # the brokers may be others when they are back
                    raise

    async def _bootstrap(self, client: AIOKafkaClient, doing: str) -> None:
        try:
            await connected(client.bootstrap())
        except KafkaConnectionError as error:
            raise StreamUnavailable(f"{doing}: {await self._access.why(error)}") from error

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()
