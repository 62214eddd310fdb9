"""Publishes with an idempotent producer: in order, acknowledged by all replicas that keep up."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer

from mesh.events.bus import partition_of
from mesh.events.kafka.connection import is_too_large, options, translate_errors
from mesh.events.kafka.stopping import stop_producer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mesh.events.bus import Record
    from mesh.events.kafka.cluster import Cluster, Topic
    from mesh.settings import BusSettings

EVENT_ID = "event_id"
"""Header with the id of the event."""

_REQUEST_TIMEOUT_MS = 8_000
_BATCH_BYTES = 1 << 20
_REMEMBERED = 50_000


class Publisher:
    """A producer that is opened when first needed, and replaced after a failure.

    A batch of a partition is sent when the one before it is acknowledged, so a failure leaves no gap. The ids of the
    last records that were acknowledged are remembered: publishing them again does nothing.
    """

    def __init__(self, settings: BusSettings, cluster: Cluster) -> None:
        self._settings = settings
        self._cluster = cluster
        self._publish_lock = asyncio.Lock()
        self._producer: AIOKafkaProducer | None = None
        self._unacknowledged: set[asyncio.Future[object]] = set()
        self._retired: set[asyncio.Task[None]] = set()
        self._published: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def publish(self, records: Sequence[Record]) -> None:
        """Append records in their order; raise DEPENDENCY_UNAVAILABLE when not all were acknowledged.

        Raise PAYLOAD_TOO_LARGE when a batch of some is larger than its topic allows, and nothing else is wrong.
        """
        async with self._publish_lock:
            if self._unacknowledged:
                await self._await_unacknowledged({each.topic for each in records})
            fresh = {(each.topic, each.event_id): each for each in records}
            waiting = [each for name, each in fresh.items() if name not in self._published]
            if waiting:
                with translate_errors():
                    await self._send(waiting)

    def invalidate(self) -> None:
        """Forget what was published: the cluster has."""
        self._published.clear()

    async def close(self) -> None:
        """End the producer; what was not acknowledged may or may not be there."""
        self._retire()
        if self._retired:
            await asyncio.wait(self._retired)

    async def _await_unacknowledged(self, topics: set[str]) -> None:
        """Let the batches of a call that was cut go first: else they would pile up, once for each attempt."""
        self._cluster.invalidate()
        with translate_errors():
            await self._cluster.topics(topics)  # they may be waiting for a topic that is gone
        while self._unacknowledged:
            await asyncio.wait(self._unacknowledged)

    async def _send(self, records: Sequence[Record]) -> None:
        topics = await self._cluster.topics(each.topic for each in records)
        producer = await self._open()
        queues = _by_partition(records, topics)
        sent = await asyncio.gather(
            *(self._send_partition(producer, *topic_partition, queue) for topic_partition, queue in queues.items()),
            return_exceptions=True,
        )
        failures = [result for result in sent if isinstance(result, BaseException)]
        if failures:
            self._retire()
            self._cluster.invalidate()
            raise min(failures, key=is_too_large)

    async def _send_partition(
        self, producer: AIOKafkaProducer, topic: str, partition: int, queue: Sequence[Record]
    ) -> None:
        """Send the records of one partition, batch by batch."""
        done = 0
        while done < len(queue):
            batch = producer.create_batch()
            count = 0
            for each in queue[done:]:
                headers = [(EVENT_ID, each.event_id.encode())]
                if batch.append(key=each.key.encode(), value=each.value, timestamp=None, headers=headers) is None:
                    break
                count += 1
            acknowledged = await producer.send_batch(batch, topic, partition=partition)
            self._unacknowledged.add(acknowledged)
            acknowledged.add_done_callback(self._on_acknowledged)
            await asyncio.shield(acknowledged)
            self._remember(queue[done : done + count])
            done += count

    def _on_acknowledged(self, acknowledged: asyncio.Future[object]) -> None:
        self._unacknowledged.discard(acknowledged)
        if not acknowledged.cancelled():
            acknowledged.exception()  # marks it as seen, where nobody waits for it any more

    def _remember(self, records: Sequence[Record]) -> None:
        self._published.update(((each.topic, each.event_id), None) for each in records)
        while len(self._published) > _REMEMBERED:
            self._published.popitem(last=False)

    async def _open(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                **options(self._settings),
                enable_idempotence=True,
                acks="all",
                max_batch_size=min(_BATCH_BYTES, self._settings.max_message_bytes),
                request_timeout_ms=_REQUEST_TIMEOUT_MS,
            )
            try:
                await producer.start()
            except BaseException:
                await stop_producer(producer)
                raise
            self._producer = producer
        return self._producer

    def _retire(self) -> None:
        """End the producer in the background: after a failure its sequence has a gap, which brokers refuse."""
        producer, self._producer = self._producer, None
        if producer is not None:
            task = asyncio.create_task(stop_producer(producer), name="kafka producer ends")
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)


def _by_partition(records: Sequence[Record], topics: Mapping[str, Topic]) -> Mapping[tuple[str, int], Sequence[Record]]:
    queues: defaultdict[tuple[str, int], list[Record]] = defaultdict(list)
    for each in records:
        topic = topics[each.topic]
        queues[topic.name, partition_of(each.key, topic.partitions)].append(each)
    return queues
