"""What only Kafka can be asked: commits, rebalances after a kill, brokers that die or forget."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
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
from mesh.testing import engines
from mesh.testing.contract import eventually, take

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mesh.events.bus import Subscription
    from mesh.events.event import Codec, Event
    from mesh.local.engines import KafkaEngine
    from mesh.settings import BusSettings
    from mesh.stores.postgres import Postgres

TOPIC = "probe.events"
ROOT = Path(__file__).parents[3]
KEYS = [f"k{number}" for number in range(64)]


def records(name: str, keys: list[str] = KEYS) -> list[Record]:
    return [Record(TOPIC, key, f"{name}-{key}", name.encode()) for key in keys]


def ids(*sent: list[Record]) -> set[str]:
    return {record.event_id for each in sent for record in each}


@pytest.fixture
async def bus(kafka: BusSettings) -> AsyncIterator[KafkaBus]:
    async with KafkaBus(kafka, topics=[TOPIC]) as opened:
        yield opened


@pytest.fixture(scope="module")
async def broker(kafka_jars: Path) -> AsyncIterator[KafkaEngine]:
    """A broker that tests may kill and wipe."""
    async with engines.kafka_engine(kafka_jars) as engine:
        yield engine


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


async def test_only_what_is_done_without_a_gap_is_committed(kafka: BusSettings, bus: KafkaBus) -> None:
    await bus.publish([Record(TOPIC, "a", f"e{number}", b"") for number in range(5)])
    async with bus.subscribe("g", [TOPIC]) as member:
        batch = await anext(aiter(member))

        async def is_committed(offset: int) -> bool:
            return await committed(kafka, "g") == [offset]

        for done in (2, 3, 0):
            await member.ack(batch[done])
        await eventually(lambda: is_committed(1))
        await member.ack(batch[1])
        await eventually(lambda: is_committed(4))
        assert await member.lag() == 1


async def test_lag_leaves_out_what_this_member_has_done_out_of_order(bus: KafkaBus) -> None:
    await bus.publish([Record(TOPIC, "a", f"e{number}", b"") for number in range(5)])
    async with bus.subscribe("g", [TOPIC]) as member:
        batch = await anext(aiter(member))
        await member.ack(batch[3])
        assert await member.lag() == 4


@asynccontextmanager
async def member_process(settings: BusSettings) -> AsyncIterator[asyncio.subprocess.Process]:
    assert settings.sasl_password is not None
    secret = settings.sasl_password.get_secret_value()
    text = json.dumps({**settings.model_dump(mode="json"), "sasl_password": secret})
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.mesh.kafka_member", TOPIC,
        cwd=ROOT, env={**os.environ, "MEMBER_BUS": text}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


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


async def test_a_mesh_ends_while_its_broker_is_away(kafka_jars: Path) -> None:
    async with engines.kafka_engine(kafka_jars) as broker:
        before = kafka_tasks()
        async with KafkaBus(broker.settings, topics=[TOPIC]) as bus:
            await bus.publish(records("first"))
            async with bus.subscribe("g", [TOPIC]) as member:
                batch = await anext(aiter(member))
                await broker.stop()
                await member.ack(*batch)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await bus.publish(records("last"))
        await eventually(lambda: not kafka_tasks() - before)


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


async def test_a_publish_that_is_cut_leaves_no_gap_and_no_task(kafka: BusSettings) -> None:
    before = asyncio.all_tasks()
    first, last = records("first"), records("last")
    async with KafkaBus(kafka, topics=[TOPIC]) as bus:
        await bus.publish(records("warm"))
        cut = asyncio.create_task(bus.publish(first))
        while not bus._publisher._unsettled:  # noqa: ASYNC110 - until its batches are on their way
            await asyncio.sleep(0)
        cut.cancel()
        await asyncio.wait({cut})
        await bus.publish(last)
        await bus.publish(first)
        async with bus.subscribe("g", [TOPIC]) as member, collecting(member) as seen:
            await eventually(lambda: seen >= ids(first, last))
    await eventually(lambda: asyncio.all_tasks() <= before)


async def test_a_record_as_large_as_a_batch_may_be_passes(kafka: BusSettings) -> None:
    large = b"x" * (kafka.max_message_bytes - 1024)
    async with KafkaBus(kafka, topics=[TOPIC]) as bus, bus.subscribe("g", [TOPIC]) as member:
        await bus.publish([Record(TOPIC, "k", "large", large), Record(TOPIC, "k", "small", b"y")])
        assert [delivery.value for delivery in await take(member, 2)] == [large, b"y"]
