"""The port of the event bus."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

PARTITIONS = 8


@dataclass(frozen=True)
class Record:
    """What is published: `key` decides the partition and so the order, by `event_id` consumers know repetitions."""

    topic: str
    key: str
    event_id: str
    value: bytes


@dataclass(frozen=True)
class Delivery:
    """A record as a group receives it; `position` is its place in the partition."""

    topic: str
    partition: int
    position: str
    key: str
    event_id: str
    value: bytes


class Subscription(Protocol):
    """One member of a group. Each partition has one member at a time; what is not acknowledged comes again.

    What was acknowledged comes again when the member is killed soon after, or when something before it in its partition
    was not acknowledged: the inbox applies each event once.
    """

    async def __aenter__(self) -> Self:
        """Join the group."""

    async def __aexit__(self, *_: object) -> None:
        """Leave the group; others take over its partitions with what was not acknowledged."""

    def __aiter__(self) -> AsyncIterator[Sequence[Delivery]]:
        """Batches of deliveries, in order per partition, until closed."""

    async def ack(self, *deliveries: Delivery) -> None:
        """Say that deliveries are done with, in any order."""

    async def lag(self) -> int:
        """Records of the topics that the group has not acknowledged."""

    def close(self) -> None:
        """End the iteration; acknowledging stays possible until the subscription is left."""


class Bus(Protocol):
    """Topics of N partitions, read by groups that each receive every record at least once, from the first one on."""

    async def publish(self, records: Sequence[Record]) -> None:
        """Append records in their order; a record that this bus has just published is not appended again.

        When a publisher starts anew, or publishes again what failed, records may be appended twice. The first of each
        are in their order all the same. Raise PAYLOAD_TOO_LARGE when a record, or what is sent together with it, is
        larger than the bus allows; others may have been appended then.
        """

    def subscribe(self, group: str, topics: Sequence[str]) -> Subscription:
        """A new member of a group; enter it to receive."""

    async def ping(self) -> None:
        """Return when the bus answers; raise DEPENDENCY_UNAVAILABLE when it does not. Changes nothing."""

    async def epoch(self) -> str:
        """Names the bus's memory: changes when records that were published may have been lost."""


def partition_of(key: str, partitions: int) -> int:
    """The partition of a key: the same in every process."""
    return zlib.crc32(key.encode()) % partitions
