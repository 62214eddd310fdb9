"""Asks the cluster about topics and makes those that are missing."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, cast

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    NodeNotReadyError,
    NoError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.admin import CreateTopicsRequest

from mesh.clock import SystemClock
from mesh.events.kafka.connection import options, translate_errors
from mesh.events.kafka.metadata import MetadataRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mesh.clock import Clock
    from mesh.settings import BusSettings

_REQUEST_TIMEOUT_MS = 8_000
_APPEAR_TIMEOUT_S = 10.0
_POLL_S = 0.02
_SEGMENT = timedelta(hours=6)
"""Records are removed a segment at a time, so they are kept for up to this much longer."""
_DIGEST_CHARACTERS = 16
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Topic:
    """A topic that exists: its name there, and its id, which a name gets anew when it is removed and made again."""

    name: str
    id: str
    partitions: int


class _MetadataResponse(Protocol):
    """What of a Metadata answer is read."""

    cluster_id: str
    topics: Sequence[tuple[int, str, object, bool, Sequence[tuple[int, ...]], int, object]]


class _CreateTopicsResponse(Protocol):
    """What of a CreateTopics answer is read."""

    topic_errors: Sequence[tuple[str, int, str]]


class Cluster:
    """One connection for questions about the cluster, opened when first asked."""

    def __init__(self, settings: BusSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._client: AIOKafkaClient | None = None
        self._opening = asyncio.Lock()
        self._known: dict[str, Topic] = {}
        self._id = ""
        self._node = 0

    async def id(self) -> str:
        """The cluster's id; raise DEPENDENCY_UNAVAILABLE when no broker answers."""
        with translate_errors():
            await self._fetch_metadata([])
            return self._id

    async def epoch(self, topics: Sequence[str]) -> str:
        """A value that lives as long as the cluster and these topics; makes those that are missing."""
        with translate_errors():
            found = await self._ensure(sorted(topics), refresh=True)
            text = ",".join(f"{topic.name}={topic.id}" for topic in found.values())
            return f"{self._id}/{hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS]}"

    async def topics(self, names: Iterable[str]) -> Mapping[str, Topic]:
        """The topics of these names; makes those that are missing."""
        with translate_errors():
            return await self._ensure(sorted(set(names)))

    def invalidate(self) -> None:
        """Ask again about topics: something they were used for has failed."""
        self._known.clear()

    async def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _ensure(self, names: Sequence[str], *, refresh: bool = False) -> Mapping[str, Topic]:
        found = {} if refresh else {name: self._known[name] for name in names if name in self._known}
        missing = [name for name in names if name not in found]
        if missing:
            found |= await self._describe(missing)
            absent = [name for name in missing if name not in found]
            if absent:
                await self._create(absent)
                found |= await self._wait_for_topics(absent)
            self._known |= found
        return {name: found[name] for name in names}

    async def _describe(self, names: Sequence[str]) -> dict[str, Topic]:
        """Those of the topics that exist and have a leader for each partition."""
        found = {}
        prefix = self._settings.prefix
        for code, name, id_, _, partitions, *_ in (
            await self._fetch_metadata([prefix + name for name in names])
        ).topics:
            error = for_code(code)
            if error is NoError and all(for_code(partition[0]) is NoError for partition in partitions):
                found[name.removeprefix(prefix)] = Topic(name, str(id_), len(partitions))
            elif error not in {NoError, UnknownTopicOrPartitionError}:
                raise error(f"topic {name}")
        return found

    async def _wait_for_topics(self, names: Sequence[str]) -> dict[str, Topic]:
        """Wait until topics that were just made can be used."""
        async with asyncio.timeout(_APPEAR_TIMEOUT_S):
            while len(found := await self._describe(names)) < len(names):
                await self._clock.sleep(_POLL_S)
        return found

    async def _create(self, names: Sequence[str]) -> None:
        request = CreateTopicsRequest(
            [self._creation_request(name) for name in names], _REQUEST_TIMEOUT_MS, validate_only=False
        )
        answer = cast("_CreateTopicsResponse", await self._send(request))
        for name, code, message in answer.topic_errors:
            error = for_code(code)
            if error is NoError:
                _log.info("made topic %s", name)
            elif error is not TopicAlreadyExistsError:
                raise error(f"topic {name} cannot be made: {message}")

    def _creation_request(self, name: str) -> tuple[object, ...]:
        """A topic as CreateTopics takes it: name, partitions, copies, where (anywhere), configuration."""
        settings = self._settings
        hours = settings.topic_retention_hours.get(name, settings.retention_hours)
        configuration = {
            "min.insync.replicas": str(settings.min_insync_replicas),
            "retention.ms": str(_milliseconds(timedelta(hours=hours))),
            "segment.ms": str(_milliseconds(min(timedelta(hours=hours), _SEGMENT))),
            "max.message.bytes": str(settings.max_message_bytes),
            "unclean.leader.election.enable": "false",
        }
        return settings.prefix + name, settings.partitions, settings.replication_factor, [], [*configuration.items()]

    async def _fetch_metadata(self, names: Sequence[str]) -> _MetadataResponse:
        answer = cast("_MetadataResponse", await self._send(MetadataRequest(names)))
        self._id = answer.cluster_id
        return answer

    async def _send(self, request: object) -> object:
        client = await self._connect()
        nodes = [broker.nodeId for broker in client.cluster.brokers()]
        for node in sorted(nodes, key=lambda node: node != self._node):
            if await client.ready(node):
                self._node = node  # asked first the next time: others may be away
                answer: object = await client.send(node, request)
                return answer
        await self.close()  # it may know brokers alone that are gone: the next question starts from the settings
        raise NodeNotReadyError("no broker answers")

    async def _connect(self) -> AIOKafkaClient:
        async with self._opening:
            if self._client is None:
                client = AIOKafkaClient(**options(self._settings), request_timeout_ms=_REQUEST_TIMEOUT_MS)
                try:
                    await client.bootstrap()
                except BaseException:
                    await client.close()
                    raise
                self._client = client
            return self._client


def _milliseconds(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)


async def cluster_id(settings: BusSettings) -> str:
    """Ask once for the cluster's id; raise DEPENDENCY_UNAVAILABLE when no broker answers."""
    cluster = Cluster(settings, SystemClock())
    try:
        return await cluster.id()
    finally:
        await cluster.close()
