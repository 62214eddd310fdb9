"""Makes consumers, members of their groups, and deliveries of what they receive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

from mesh.events.bus import Delivery
from mesh.events.kafka.connection import options
from mesh.events.kafka.publisher import EVENT_ID

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from aiokafka import ConsumerRecord, TopicPartition

    from mesh.settings import BusSettings

_REQUEST_TIMEOUT_MS = 15_000
_HEARTBEATS = 3
"""In the time of one session."""


def create_consumer(
    settings: BusSettings, group: str, topics: Sequence[str], revoked: Callable[[], Awaitable[None]]
) -> AIOKafkaConsumer:
    """Give a consumer that is not started; it awaits `revoked` before its partitions are reassigned."""
    session_ms = int(settings.session_timeout_s * 1000)
    # The assignor keeps what it knows in its class, so members of one process need one each.
    assignor = type("Sticky", (StickyPartitionAssignor,), {})
    consumer = AIOKafkaConsumer(
        **options(settings),
        group_id=settings.prefix + group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        partition_assignment_strategy=(assignor,),
        session_timeout_ms=session_ms,
        heartbeat_interval_ms=session_ms // _HEARTBEATS,
        rebalance_timeout_ms=session_ms,
        max_poll_interval_ms=int(settings.max_poll_interval_s * 1000),
        max_partition_fetch_bytes=settings.max_message_bytes,
        request_timeout_ms=max(_REQUEST_TIMEOUT_MS, 2 * session_ms),
    )
    consumer.subscribe([settings.prefix + topic for topic in topics], listener=_Listener(revoked))
    return consumer


def delivery_of(topic: str, record: ConsumerRecord[bytes, bytes]) -> Delivery:
    """Give a record of a topic as it is handed out; one that nobody of the mesh wrote has its place for an id."""
    position = str(record.offset)
    event_id = next((value.decode(errors="replace") for name, value in record.headers if name == EVENT_ID), "")
    return Delivery(
        topic,
        record.partition,
        position,
        (record.key or b"").decode(errors="replace"),
        event_id or f"{topic}/{record.partition}/{position}",
        record.value or b"",
    )


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Passes rebalances on."""

    def __init__(self, revoked: Callable[[], Awaitable[None]]) -> None:
        self._revoked = revoked

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002
        """All partitions, whoever gets them next."""
        await self._revoked()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Reading goes on from where each is committed: nothing to do."""
