"""Ends clients of aiokafka for certain, also while brokers are away; its own `stop()` may then not return or give up.

What it leaves behind can be reached through its private parts alone.
"""
# ruff: noqa: SLF001

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka.errors import ProducerClosed

from mesh import tasks

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

_GRACE_S = 5.0


async def stop_producer(producer: AIOKafkaProducer) -> None:
    """Stop a producer; what it cannot deliver is given up after a while, which it would never do by itself."""
    stopping = asyncio.create_task(producer.stop())
    done, _ = await asyncio.wait({stopping}, timeout=_GRACE_S)
    if not done:
        producer._message_accumulator.fail_all(ProducerClosed())
        await asyncio.wait({stopping})
    if stopping.cancelled() or stopping.exception() is not None:
        await tasks.end(*_running(producer._sender and producer._sender.sender_task))
        await producer.client.close()


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer; its own way ends in the middle when a task that it cancels was waiting for a broker."""
    stopping = asyncio.create_task(consumer.stop())
    await asyncio.wait({stopping})
    if not stopping.cancelled() and stopping.exception() is None:
        return
    coordinator, fetcher = consumer._coordinator, consumer._fetcher
    coordinator_tasks = (
        (coordinator._heartbeat_task, coordinator._commit_refresh_task) if coordinator is not None else ()
    )
    fetches = (fetcher._fetch_task, *fetcher._pending_tasks) if fetcher is not None else ()
    await tasks.end(*_running(*coordinator_tasks, *fetches))
    await consumer._client.close()


def _running(*found: asyncio.Task[None] | None) -> list[asyncio.Task[None]]:
    return [task for task in found if task is not None]
