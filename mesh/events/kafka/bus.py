"""The bus port on Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from mesh.clock import SystemClock
from mesh.contexts import installed
from mesh.events.kafka.cluster import Cluster
from mesh.events.kafka.publisher import Publisher
from mesh.events.kafka.subscription import KafkaSubscription
from mesh.events.topics import topics as all_topics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.clock import Clock
    from mesh.events.bus import Record
    from mesh.settings import BusSettings


class KafkaBus:
    """Topics of a Kafka cluster, made when they are missing. Nothing is connected before the first use.

    `topics` are those whose loss changes the epoch; None: all of the mesh.
    """

    def __init__(
        self, settings: BusSettings, *, topics: Sequence[str] | None = None, clock: Clock | None = None
    ) -> None:
        self._settings = settings
        self._topics = all_topics(installed()) if topics is None else tuple(topics)
        self._clock = clock or SystemClock()
        self._cluster = Cluster(settings, self._clock)
        self._publisher = Publisher(settings, self._cluster)
        self._epoch = ""

    async def __aenter__(self) -> Self:
        """Begin."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    async def publish(self, records: Sequence[Record]) -> None:
        """Append records in their order; those that this bus has just published are passed over."""
        await self._publisher.publish(records)

    def subscribe(self, group: str, topics: Sequence[str]) -> KafkaSubscription:
        """A new member of a group; enter it to receive."""
        return KafkaSubscription(self._settings, self._cluster, group=group, topics=topics, clock=self._clock)

    async def ping(self) -> None:
        """Return when a broker answers."""
        await self._cluster.id()

    async def epoch(self) -> str:
        """Names cluster and topics: changes when the cluster was made anew, or one of the topics."""
        epoch = await self._cluster.epoch(self._topics)
        if epoch != self._epoch:
            self._epoch = epoch
            self._publisher.invalidate()
        return epoch

    async def close(self) -> None:
        """End the producer and the connections; subscriptions are left by those who entered them."""
        await self._publisher.close()
        await self._cluster.close()
