"""Kafka's Metadata request, version 10: the first whose answer holds topic ids. aiokafka 0.14 ends at version 5.

The layout is that of `MetadataRequest.json` and `MetadataResponse.json` in Apache Kafka's sources; brokers have
spoken it since 2.8.
"""

from io import BytesIO
from uuid import UUID

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_AUTHORIZED_OPERATIONS = Int32
_NO_TAGS: dict[int, bytes] = {}


class _Uuid(AbstractType[UUID]):  # type: ignore[misc]  # aiokafka is not typed
    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


class _MetadataResponse10(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("index", Int32),
                        ("leader_id", Int32),
                        ("leader_epoch", Int32),
                        ("replica_nodes", CompactArray(Int32)),
                        ("isr_nodes", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", _AUTHORIZED_OPERATIONS),
                ("tags", TaggedFields),
            ),
        ),
        ("authorized_operations", _AUTHORIZED_OPERATIONS),
        ("tags", TaggedFields),
    )


class _MetadataRequest10(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponse10
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class MetadataWithTopicIds(Request[_MetadataRequest10]):  # type: ignore[misc]
    """About the named topics; never creates one."""

    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataRequest10]) -> _MetadataRequest10:
        topics = [(UUID(int=0), name, _NO_TAGS) for name in self._topics]
        return request_struct_class(topics, False, False, False, _NO_TAGS)
