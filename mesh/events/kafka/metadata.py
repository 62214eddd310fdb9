"""Kafka's Metadata request, version 10: the first that tells a topic's id, which aiokafka does not speak.

A topic that was removed and made again has another id; its name alone would not tell.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, ClassVar

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

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import BytesIO

_API, _VERSION, _ID_BYTES = 3, 10, 16
_UNNAMED = uuid.UUID(int=0)


class _Uuid(AbstractType):  # type: ignore[misc]
    """16 bytes."""

    @classmethod
    def encode(cls, value: uuid.UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> uuid.UUID:
        return uuid.UUID(bytes=data.read(_ID_BYTES))


class MetadataResponse(Response):  # type: ignore[misc]
    """The answer: `cluster_id` and `topics`, each with `error_code`, `topic`, `topic_id`, `partitions`."""

    API_KEY: ClassVar[int] = _API
    API_VERSION: ClassVar[int] = _VERSION
    SCHEMA: ClassVar[Schema] = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString()),
                ("port", Int32),
                ("rack", CompactString()),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString()),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString()),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class MetadataStruct(RequestStruct):  # type: ignore[misc]
    """What is sent."""

    API_KEY: ClassVar[int] = _API
    API_VERSION: ClassVar[int] = _VERSION
    FLEXIBLE_VERSION: ClassVar[bool] = True
    RESPONSE_TYPE: ClassVar[type[Response]] = MetadataResponse
    SCHEMA: ClassVar[Schema] = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("topic", CompactString()), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class MetadataRequest(Request[MetadataStruct]):  # type: ignore[misc]
    """Asks about topics by name; makes none."""

    API_KEY: ClassVar[int] = _API

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[MetadataStruct]) -> MetadataStruct:
        """Give the request as it is sent."""
        topics: list[tuple[uuid.UUID, str, dict[int, bytes]]] = [(_UNNAMED, topic, {}) for topic in self._topics]
        return request_struct_class(topics, False, False, False, {})
