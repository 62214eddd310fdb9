"""Reads Kafka as one member of a consumer group."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import TYPE_CHECKING, Self

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from mesh import tasks
from mesh.events.kafka.connection import translate_errors
from mesh.events.kafka.consumer import create_consumer, delivery_of
from mesh.events.kafka.stopping import stop_consumer
from mesh.events.progress import PartitionProgress
from mesh.lifecycle import background
from mesh.logging import exc_info_if_unexpected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from aiokafka import AIOKafkaConsumer

    from mesh.clock import Clock
    from mesh.events.bus import Delivery
    from mesh.events.kafka.cluster import Cluster
    from mesh.settings import BusSettings

_BATCH = 500
_WAIT_MS = 1_000
_COMMIT_EVERY_S = 0.05
_COMMIT_TIMEOUT_S = 5.0
_LAG_TIMEOUT_S = 10.0
_REJOIN_S = 1.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_log = logging.getLogger(__name__)


class KafkaSubscription:
    """One member of a group. Of each partition it commits the part before the first delivery that is not done.

    A rebalance takes all partitions from all members and reassigns them, mostly to who had them (`sticky`): what was
    fetched and not yet handed out is dropped then, and each partition is read on from where it is committed.
    """

    def __init__(
        self, settings: BusSettings, cluster: Cluster, *, group: str, topics: Sequence[str], clock: Clock
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._group = group
        self._topics = tuple(topics)
        self._clock = clock
        self._generation = 0
        self._progress: dict[TopicPartition, PartitionProgress] = {}
        self._fetched: deque[tuple[int, list[Delivery]]] = deque()
        self._moved = asyncio.Event()
        self._committing = asyncio.Lock()
        self._joining: asyncio.Task[AIOKafkaConsumer]
        self._fetching: asyncio.Task[None] | None = None
        self._stack = contextlib.AsyncExitStack()
        self._closed: asyncio.Future[None]

    async def __aenter__(self) -> Self:
        """Join the group, in the background: brokers may be away."""
        self._closed = asyncio.get_running_loop().create_future()
        self._joining = asyncio.create_task(self._join(), name=f"kafka join {self._group}")
        committing = background(self._commit_all, f"kafka-commits.{self._group}", clock=self._clock)
        await self._stack.enter_async_context(committing)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Commit what is done and leave the group; the rest goes to whoever gets the partitions."""
        self.close()
        fetching = [self._fetching] if self._fetching is not None else []
        try:
            await self._stack.aclose()
            await tasks.end(*fetching)
        finally:
            await self._leave()

    async def __aiter__(self) -> AsyncIterator[Sequence[Delivery]]:
        """Batches of deliveries, in order per partition, until closed."""
        while not self._closed.done():
            while self._fetched and not self._closed.done():
                generation, batch = self._fetched.popleft()
                if generation == self._generation:
                    yield batch
            if self._fetching is None:
                self._fetching = asyncio.create_task(self._fetch(), name=f"kafka fetch {self._group}")
            await asyncio.wait({self._fetching, self._closed}, return_when=asyncio.FIRST_COMPLETED)
            if self._fetching.done():
                fetched, self._fetching = self._fetching, None
                fetched.result()

    async def ack(self, *deliveries: Delivery) -> None:
        """Say that deliveries are done with; committed shortly after, once all before them are."""
        for delivery in deliveries:
            topic_partition = TopicPartition(self._settings.prefix + delivery.topic, delivery.partition)
            progress = self._progress.get(topic_partition)
            if progress is not None:
                progress.done(delivery.position)
                if progress.unsaved() is not None:
                    self._moved.set()

    async def lag(self) -> int:
        """Records of the topics that the group has not acknowledged; what others have done out of order counts."""
        with translate_errors():
            async with asyncio.timeout(_LAG_TIMEOUT_S):
                consumer = await asyncio.shield(self._joining)
                await self._commit(consumer)
                topics = await self._cluster.topics(self._topics)
                topic_partitions = [
                    TopicPartition(each.name, n) for each in topics.values() for n in range(each.partitions)
                ]
                firsts, ends, *committed = await asyncio.gather(
                    consumer.beginning_offsets(topic_partitions),
                    consumer.end_offsets(topic_partitions),
                    *(consumer.committed(topic_partition) for topic_partition in topic_partitions),
                )
        done = sum(
            max(firsts[topic_partition], offset or 0)
            for topic_partition, offset in zip(topic_partitions, committed, strict=True)
        )
        waiting: int = sum(ends.values()) - done
        return waiting - sum(progress.ahead for progress in self._progress.values())

    def close(self) -> None:
        """End the iteration."""
        if not self._closed.done():
            self._closed.set_result(None)

    async def revoked(self) -> None:
        """Stop handing out and commit what is done: the partitions are about to be reassigned."""
        self._generation += 1
        self._fetched.clear()
        try:
            if self._joining.done():
                await self._commit_at_last(self._joining.result())
        finally:
            self._progress.clear()

    async def _leave(self) -> None:
        if not self._joining.done():
            self._joining.cancel()
            await asyncio.wait({self._joining})
        if self._joining.cancelled():
            return
        consumer = self._joining.result()
        try:
            await self._commit_at_last(consumer)
        finally:
            await stop_consumer(consumer)

    async def _commit_at_last(self, consumer: AIOKafkaConsumer) -> None:
        """Commit before partitions go, but not at any price: what is not committed comes again."""
        try:
            await self._commit(consumer)
        except (KafkaError, TimeoutError) as error:
            _log.warning("%s gives partitions up without a last commit: %s", self._group, error)

    async def _join(self, broken: AIOKafkaConsumer | None = None) -> AIOKafkaConsumer:
        """Become a member, however long that takes; a member that failed is ended first."""
        if broken is not None:
            await stop_consumer(broken)
            await self._clock.sleep(_REJOIN_S)
        pause = _FIRST_PAUSE_S
        while True:
            consumer = create_consumer(self._settings, self._group, self._topics, self.revoked)
            try:
                await self._cluster.topics(self._topics)
                await consumer.start()
            except Exception as error:  # noqa: BLE001 - whatever it is, a member is needed
                _log.warning("%s cannot join now: %s", self._group, error, exc_info=exc_info_if_unexpected(error))
                await stop_consumer(consumer)
            except BaseException:
                await stop_consumer(consumer)
                raise
            else:
                return consumer
            await self._clock.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    async def _fetch(self) -> None:
        """Fetch once; after any failure become a member anew."""
        consumer = await asyncio.shield(self._joining)
        try:
            found = await consumer.getmany(timeout_ms=_WAIT_MS, max_records=_BATCH)
        except Exception as error:  # noqa: BLE001 - an outage: reading must go on after it
            _log.warning("%s cannot read now: %s", self._group, error)
            self._generation += 1
            self._progress.clear()
            self._joining = asyncio.create_task(self._join(consumer), name=f"kafka join {self._group}")
            return
        for topic_partition, records in found.items():
            progress = self._progress.setdefault(topic_partition, PartitionProgress())
            for record in records:
                progress.delivered(str(record.offset))
            topic = topic_partition.topic.removeprefix(self._settings.prefix)
            self._fetched.append((self._generation, [delivery_of(topic, record) for record in records]))

    async def _commit_all(self) -> None:
        """Commit what moves, many acknowledgements at a time."""
        while True:
            await self._moved.wait()
            self._moved.clear()
            try:
                await self._commit(await asyncio.shield(self._joining))
            except Exception as error:  # noqa: BLE001 - an outage: committing must go on after it
                _log.warning("%s cannot commit now: %s", self._group, error)
                self._moved.set()
                await self._clock.sleep(_FIRST_PAUSE_S)
            await self._clock.sleep(_COMMIT_EVERY_S)

    async def _commit(self, consumer: AIOKafkaConsumer) -> None:
        async with self._committing:
            moved = [(topic_partition, each, each.unsaved()) for topic_partition, each in self._progress.items()]
            done = [
                (topic_partition, each, position) for topic_partition, each, position in moved if position is not None
            ]
            if not done:
                return
            try:
                async with asyncio.timeout(_COMMIT_TIMEOUT_S):  # on its own it tries without end
                    await consumer.commit({topic_partition: int(position) + 1 for topic_partition, _, position in done})
            except (CommitFailedError, IllegalStateError) as error:
                _log.info("%s lost partitions before it committed; they come again: %s", self._group, error)
                return
            for _, each, position in done:
                each.saved(position)
