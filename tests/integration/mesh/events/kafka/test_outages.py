"""Members and brokers that die, forget, do not answer or refuse."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from mesh.clock import SystemClock
from mesh.errors import Reason, SomaError
from mesh.events.bus import Record
from mesh.events.kafka import KafkaBus
from mesh.events.kafka.connection import options
from mesh.events.outbox import Outbox
from mesh.events.relay import Relay
from mesh.testing.contract import eventually, take
from soma_local.testing import engines
from tests.integration.mesh.events.kafka.rig import (
    KEYS,
    TOPIC,
    collecting,
    ids,
    member_process,
    publish_when_possible,
    records,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from mesh.events.event import Codec, Event
    from mesh.settings import BusSettings
    from mesh.stores.postgres import Postgres
    from soma_local.engines import KafkaEngine


@pytest.fixture(scope="module")
async def own_engine(kafka_jars: Path) -> AsyncIterator[KafkaEngine]:
    async with engines.kafka_engine(kafka_jars) as engine:
        yield engine


@pytest.fixture
async def broker(own_engine: KafkaEngine) -> KafkaEngine:
    """A running broker that tests may kill, stop and wipe."""
    if own_engine.pid is None:
        await own_engine.start()
    return own_engine


async def test_a_killed_members_partitions_move_and_nothing_is_lost(kafka: BusSettings) -> None:
    settings = kafka.model_copy(update={"session_timeout_s": 2.0})
    held: set[str] = set()

    async def read(child: asyncio.subprocess.Process) -> None:
        assert child.stdout is not None
        async for line in child.stdout:
            held.add(line.decode().strip())

    first, more, last = records("first"), records("more"), records("last")
    async with (
        KafkaBus(settings, topics=[TOPIC]) as bus,
        bus.subscribe("g", [TOPIC]) as heir,
        collecting(heir) as seen,
    ):
        await bus.publish(first)
        await eventually(lambda: seen == ids(first))
        async with member_process(settings) as child:
            reading = asyncio.create_task(read(child))
            sent = 0

            async def both_read() -> bool:
                nonlocal sent
                await bus.publish([Record(TOPIC, key, f"probe-{sent}-{key}", b"") for key in KEYS])
                sent += 1
                return bool(held)

            await eventually(both_read, within_s=60)
            await bus.publish(more)
            child.send_signal(signal.SIGKILL)
            await reading
        await bus.publish(last)
        probes = {f"probe-{number}-{key}" for number in range(sent) for key in KEYS}
        await eventually(lambda: seen == ids(first, more, last) | probes, within_s=60)
        assert await heir.lag() == 0


async def test_a_killed_broker_loses_nothing_and_members_go_on(broker: KafkaEngine) -> None:
    first, last = records("first"), records("last")
    async with (
        KafkaBus(broker.settings, topics=[TOPIC]) as bus,
        bus.subscribe("survivor", [TOPIC]) as member,
        collecting(member) as seen,
    ):
        before = await bus.epoch()
        await bus.publish(first)
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        await broker.wait()
        await broker.start()
        await publish_when_possible(bus, last)
        await eventually(lambda: seen == ids(first, last), within_s=60)
        assert await bus.epoch() == before
    async with KafkaBus(broker.settings, topics=[TOPIC]) as bus, bus.subscribe("late", [TOPIC]) as member:
        assert {delivery.event_id for delivery in await take(member, 128)} >= ids(first, last)


def kafka_tasks() -> set[asyncio.Task[object]]:
    """Tasks of the bus and of its client; engines that other tests share have tasks that come and go."""
    return {task for task in asyncio.all_tasks() if "kafka" in f"{task.get_name()} {task.get_coro()!r}".lower()}


async def test_a_wiped_broker_has_another_epoch_and_the_relay_sends_again(
    broker: KafkaEngine, postgres: Postgres, codec: Codec, event: Callable[..., Event]
) -> None:
    noted = [event(key) for key in KEYS]
    async with KafkaBus(broker.settings, topics=[TOPIC]) as bus:
        before = await bus.epoch()
        async with Relay(postgres, bus, codec, SystemClock(), poll_s=0.05):
            async with postgres.transaction("a") as connection:
                for each in noted:
                    await Outbox().add(connection, each)
            async with bus.subscribe("before", [TOPIC]) as member, collecting(member) as seen:
                await eventually(lambda: seen >= {each.event_id for each in noted})
            await broker.stop()
            broker.wipe()
            await broker.start()
            async with bus.subscribe("after", [TOPIC]) as member, collecting(member) as again:
                await eventually(lambda: again == {each.event_id for each in noted}, within_s=60)
        assert await bus.epoch() != before


async def test_a_mesh_ends_while_its_broker_is_away(broker: KafkaEngine) -> None:
    before = kafka_tasks()
    async with KafkaBus(broker.settings, topics=[TOPIC]) as bus:
        await bus.publish(records("first"))
        async with bus.subscribe("leaver", [TOPIC]) as member:
            batch = await anext(aiter(member))
            await broker.stop()
            await member.ack(*batch)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await bus.publish(records("last"))
    await eventually(lambda: not kafka_tasks() - before)


async def test_a_topic_that_was_made_anew_changes_the_epoch(kafka: BusSettings, bus: KafkaBus) -> None:
    before = await bus.epoch()
    client = AIOKafkaAdminClient(**options(kafka))
    await client.start()
    await client.delete_topics([kafka.prefix + TOPIC])
    await client.close()

    async def changed() -> bool:
        with contextlib.suppress(SomaError):
            return await bus.epoch() != before
        return False

    await eventually(changed)


async def test_a_topic_that_is_not_the_buss_own_leaves_the_epoch(bus: KafkaBus) -> None:
    before = await bus.epoch()
    await bus.publish([Record("other.events", "k", "e", b"")])
    assert await bus.epoch() == before


async def test_brokers_that_do_not_answer_are_told_as_an_outage(kafka: BusSettings) -> None:
    absent = kafka.model_copy(update={"bootstrap_servers": ("127.0.0.1:1",)})
    async with KafkaBus(absent) as bus:
        for asked in (bus.epoch(), bus.publish(records("first"))):
            with pytest.raises(SomaError) as caught:
                await asked
            assert caught.value.reason is Reason.DEPENDENCY_UNAVAILABLE
        async with bus.subscribe("g", [TOPIC]):
            pass


async def test_a_wrong_password_is_refused(kafka: BusSettings) -> None:
    stranger = kafka.model_copy(update={"sasl_username": "stranger"})
    async with KafkaBus(stranger) as bus:
        with pytest.raises(SomaError):
            await bus.epoch()
