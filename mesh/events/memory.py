"""The bus within one process: for one-process meshes that may forget, and for tests."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from mesh.events.bus import PARTITIONS, Delivery, partition_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from mesh.events.bus import Record

_BATCH = 100


@dataclass
class _Partition:
    """The records of one partition, and who of a group reads it."""

    records: list[Record] = field(default_factory=list)
    acked: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))


class MemoryBus:
    """Topics as lists. Nothing outlives the process; only then does its epoch end."""

    def __init__(self, partitions: int = PARTITIONS) -> None:
        self._count = partitions
        self._topics: dict[str, list[_Partition]] = {}
        self._published: set[tuple[str, str]] = set()
        self._members: dict[str, list[_MemorySubscription]] = defaultdict(list)

    async def publish(self, records: Sequence[Record]) -> None:
        """Append records in their order; a record that was published before is not appended again."""
        for record in records:
            if (record.topic, record.event_id) in self._published:
                continue
            self._published.add((record.topic, record.event_id))
            self.partitions(record.topic)[partition_of(record.key, self._count)].records.append(record)
        self._wake()

    def subscribe(self, group: str, topics: Sequence[str]) -> _MemorySubscription:
        """A new member of a group; enter it to receive."""
        return _MemorySubscription(self, group, topics)

    async def ping(self) -> None:
        """Return: it is here."""

    async def epoch(self) -> str:
        """Always the same: the memory is lost together with the process."""
        return "memory"

    def partitions(self, topic: str) -> list[_Partition]:
        """The partitions of a topic."""
        return self._topics.setdefault(topic, [_Partition() for _ in range(self._count)])

    def owner(self, group: str, topic: str, partition: int) -> _MemorySubscription | None:
        """The member of the group that reads the partition."""
        readers = [member for member in self._members[group] if topic in member.topics]
        return readers[partition % len(readers)] if readers else None

    def join(self, member: _MemorySubscription) -> None:
        """Let a member read; partitions are reassigned."""
        self._members[member.group].append(member)
        self._assign(member.group)

    def leave(self, member: _MemorySubscription) -> None:
        """Take a member's partitions away; what it did not acknowledge goes to others."""
        if member in self._members[member.group]:
            self._members[member.group].remove(member)
        self._assign(member.group)

    def _assign(self, group: str) -> None:
        for member in self._members[group]:
            member.forget_lost()
        self._wake()

    def _wake(self) -> None:
        for members in self._members.values():
            for member in members:
                member.wake.set()


class _MemorySubscription:
    """One member of a group."""

    def __init__(self, bus: MemoryBus, group: str, topics: Sequence[str]) -> None:
        self._bus = bus
        self.group = group
        self.topics = tuple(topics)
        self.wake = asyncio.Event()
        self._closed = False
        self._next: dict[tuple[str, int], int] = {}

    async def __aenter__(self) -> Self:
        self._bus.join(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        self._bus.leave(self)

    async def __aiter__(self) -> AsyncIterator[Sequence[Delivery]]:
        while not self._closed:
            self.wake.clear()
            batches = [batch for topic in self.topics for batch in self._unread(topic)]
            for batch in batches:
                yield batch
            if not batches and not self._closed:
                await self.wake.wait()

    async def ack(self, *deliveries: Delivery) -> None:
        for delivery in deliveries:
            partition = self._bus.partitions(delivery.topic)[delivery.partition]
            partition.acked[self.group].add(int(delivery.position))

    async def lag(self) -> int:
        partitions = [partition for topic in self.topics for partition in self._bus.partitions(topic)]
        return sum(len(partition.records) - len(partition.acked[self.group]) for partition in partitions)

    def close(self) -> None:
        self._closed = True
        self.wake.set()

    def forget_lost(self) -> None:
        """Start over at the first unacknowledged record in partitions that others read meanwhile."""
        for topic, number in list(self._next):
            if self._bus.owner(self.group, topic, number) is not self:
                del self._next[topic, number]

    def _unread(self, topic: str) -> list[list[Delivery]]:
        batches = []
        for number, partition in enumerate(self._bus.partitions(topic)):
            if self._bus.owner(self.group, topic, number) is not self:
                continue
            start = self._next.get((topic, number), 0)
            end = min(start + _BATCH, len(partition.records))
            self._next[topic, number] = end
            batch = [
                Delivery(topic, number, str(place), record.key, record.event_id, record.value)
                for place, record in enumerate(partition.records[start:end], start)
                if place not in partition.acked[self.group]
            ]
            if batch:
                batches.append(batch)
        return batches
