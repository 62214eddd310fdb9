"""What tests of Kafka send, collect and ask."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient

from mesh.errors import SomaError
from mesh.events.bus import Record
from mesh.events.kafka.connection import options
from mesh.testing.contract import eventually
from soma_local.testing.processes import killed_with_parent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.events.bus import Subscription
    from mesh.events.kafka import KafkaBus
    from mesh.settings import BusSettings


TOPIC = "probe.events"
ROOT = Path(__file__).parents[5]
KEYS = [f"k{number}" for number in range(64)]


def records(name: str, keys: list[str] = KEYS) -> list[Record]:
    return [Record(TOPIC, key, f"{name}-{key}", name.encode()) for key in keys]


def ids(*sent: list[Record]) -> set[str]:
    return {record.event_id for each in sent for record in each}


@asynccontextmanager
async def collecting(subscription: Subscription) -> AsyncIterator[set[str]]:
    """The ids that come while the context lasts, each acknowledged."""
    seen: set[str] = set()

    async def collect() -> None:
        async for batch in subscription:
            for delivery in batch:
                seen.add(delivery.event_id)
                await subscription.ack(delivery)

    task = asyncio.create_task(collect())
    try:
        yield seen
    finally:
        subscription.close()
        await task


async def publish_when_possible(bus: KafkaBus, sent: list[Record]) -> None:
    async def published() -> bool:
        with contextlib.suppress(SomaError):
            await bus.publish(sent)
            return True
        return False

    await eventually(published, within_s=60)


async def committed(settings: BusSettings, group: str) -> list[int]:
    """The offsets that the group has committed."""
    client = AIOKafkaAdminClient(**options(settings))
    await client.start()
    try:
        found = await client.list_consumer_group_offsets(settings.prefix + group)
    finally:
        await client.close()
    return [offset.offset for offset in found.values() if offset.offset >= 0]


@asynccontextmanager
async def member_process(settings: BusSettings) -> AsyncIterator[asyncio.subprocess.Process]:
    assert settings.sasl_password is not None
    secret = settings.sasl_password.get_secret_value()
    text = json.dumps({**settings.model_dump(mode="json"), "sasl_password": secret})
    child = await asyncio.create_subprocess_exec(
        *killed_with_parent(sys.executable, "-m", "tests.integration.mesh.events.kafka.member", TOPIC),
        cwd=ROOT, env={**os.environ, "MEMBER_BUS": text}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
