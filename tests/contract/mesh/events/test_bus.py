"""What every event bus promises: the one in memory, Valkey streams and Kafka alike."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.errors import SomaError
from mesh.events.bus import PARTITIONS, Bus, Delivery, Record, partition_of
from mesh.events.kafka import KafkaBus
from mesh.events.memory import MemoryBus
from mesh.events.streams import MemoryCursors, PostgresCursors, ValkeyStreams
from mesh.testing.contract import eventually, take

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from redis.asyncio import Redis

    from mesh.settings import BusSettings
    from mesh.stores.postgres import Postgres

TOPIC = "probe.events"


def records(keys: str, topic: str = TOPIC, start: int = 0) -> list[Record]:
    return [Record(topic, key, f"{topic}-{start + n}", f"v{start + n}".encode()) for n, key in enumerate(keys)]


def values(deliveries: list[Delivery], key: str | None = None) -> list[str]:
    return [delivery.value.decode() for delivery in deliveries if key in {None, delivery.key}]


@pytest.fixture
def memory_bus() -> Bus:
    return MemoryBus()


@pytest.fixture
def valkey_bus(valkey: Redis, postgres: Postgres) -> Bus:
    return ValkeyStreams(valkey, PostgresCursors(postgres), lease_s=0.6)


@pytest.fixture
async def kafka_bus(kafka: BusSettings) -> AsyncIterator[Bus]:
    async with KafkaBus(kafka, topics=[TOPIC]) as opened:
        yield opened


@pytest.fixture(params=["memory", "valkey", "kafka"])
def bus(request: pytest.FixtureRequest) -> Bus:
    found: Bus = request.getfixturevalue(f"{request.param}_bus")
    return found


async def test_a_group_receives_what_is_published(bus: Bus) -> None:
    async with bus.subscribe("g", [TOPIC]) as subscription:
        await bus.publish([Record(TOPIC, "k", "e1", b"\x00value")])
        [delivery] = await take(subscription, 1)
    assert (delivery.topic, delivery.key, delivery.event_id, delivery.value) == (TOPIC, "k", "e1", b"\x00value")


async def test_a_new_group_starts_at_the_first_record(bus: Bus) -> None:
    await bus.publish(records("abc"))
    async with bus.subscribe("late", [TOPIC]) as subscription:
        assert sorted(values(await take(subscription, 3))) == ["v0", "v1", "v2"]


async def test_each_group_receives_everything(bus: Bus) -> None:
    await bus.publish(records("abc"))
    async with bus.subscribe("one", [TOPIC]) as one, bus.subscribe("two", [TOPIC]) as two:
        assert len(await take(one, 3)) == len(await take(two, 3)) == 3


async def test_records_of_a_key_come_in_order(bus: Bus) -> None:
    sent = records("abcdefgh" * 40)
    await bus.publish(sent)
    async with bus.subscribe("g", [TOPIC]) as subscription:
        received = await take(subscription, len(sent))
    for key in "abcdefgh":
        assert values(received, key) == [record.value.decode() for record in sent if record.key == key]


async def test_every_bus_puts_a_key_at_the_same_place(bus: Bus) -> None:
    await bus.publish(records("abcdefgh"))
    async with bus.subscribe("g", [TOPIC]) as subscription:
        places = {delivery.key: delivery.partition for delivery in await take(subscription, 8)}
    assert places == {key: partition_of(key, PARTITIONS) for key in "abcdefgh"}


async def test_several_topics_are_read_by_one_member(bus: Bus) -> None:
    async with bus.subscribe("g", [TOPIC, "other.events"]) as subscription:
        await bus.publish(records("ab") + records("ab", "other.events"))
        assert {delivery.topic for delivery in await take(subscription, 4)} == {TOPIC, "other.events"}


async def test_publishing_again_is_harmless(bus: Bus) -> None:
    await bus.publish(records("ab"))
    await bus.publish(records("abc"))
    async with bus.subscribe("g", [TOPIC]) as subscription:
        assert sorted(values(await take(subscription, 3))) == ["v0", "v1", "v2"]
        assert await subscription.lag() == 0


async def test_what_was_not_acknowledged_comes_again_to_the_next_member(bus: Bus) -> None:
    await bus.publish(records("aaaa"))
    async with bus.subscribe("g", [TOPIC]) as first:
        batch = await anext(aiter(first))
        await first.ack(batch[0])
    async with bus.subscribe("g", [TOPIC]) as second:
        assert values(await take(second, 3)) == ["v1", "v2", "v3"]


async def test_acknowledging_out_of_order_loses_nothing(bus: Bus) -> None:
    await bus.publish(records("aaaa"))
    async with bus.subscribe("g", [TOPIC]) as first:
        batch = await anext(aiter(first))
        await first.ack(batch[2])
        await first.ack(batch[0])
    async with bus.subscribe("g", [TOPIC]) as second:
        received: list[str] = []
        while "v3" not in received:
            received += values(await take(second, 1))
    assert received in (["v1", "v3"], ["v1", "v2", "v3"])  # a bus may know the first alone that is not done


@pytest.mark.parametrize("bus", ["memory", "valkey"], indirect=True)
async def test_what_was_acknowledged_out_of_order_does_not_come_again_where_each_is_known(bus: Bus) -> None:
    await bus.publish(records("aaaa"))
    async with bus.subscribe("g", [TOPIC]) as first:
        batch = await anext(aiter(first))
        await first.ack(batch[2])
    async with bus.subscribe("g", [TOPIC]) as second:
        assert values(await take(second, 3)) == ["v0", "v1", "v3"]


async def test_what_was_acknowledged_does_not_come_again(bus: Bus) -> None:
    await bus.publish(records("abc"))
    async with bus.subscribe("g", [TOPIC]) as first:
        await take(first, 3)
    await bus.publish(records("d", start=3))
    async with bus.subscribe("g", [TOPIC]) as second:
        assert values(await take(second, 1)) == ["v3"]


async def test_members_of_a_group_share_the_partitions(bus: Bus) -> None:
    keys = [f"k{n}" for n in range(64)]
    received: dict[str, set[str]] = {"one": set(), "two": set()}
    async with bus.subscribe("g", [TOPIC]) as one, bus.subscribe("g", [TOPIC]) as two:
        sent = 0

        async def collect(name: str, subscription: object) -> None:
            async for batch in subscription:  # type: ignore[attr-defined]
                for delivery in batch:
                    received[name].add(delivery.key)
                    await subscription.ack(delivery)  # type: ignore[attr-defined]

        tasks = [asyncio.create_task(collect("one", one)), asyncio.create_task(collect("two", two))]

        async def both_read() -> bool:
            nonlocal sent
            await bus.publish([Record(TOPIC, key, f"{key}-{sent}", b"") for key in keys])
            sent += 1
            return bool(received["one"] and received["two"])

        await eventually(both_read)
        await eventually(lambda: received["one"] | received["two"] == set(keys))
        one.close()
        two.close()
        await asyncio.gather(*tasks)


async def test_a_closed_subscription_ends(bus: Bus) -> None:
    async with bus.subscribe("g", [TOPIC]) as subscription:
        subscription.close()
        assert [batch async for batch in subscription] == []


async def test_lag_counts_what_is_not_acknowledged(bus: Bus) -> None:
    await bus.publish(records("abcd"))
    async with bus.subscribe("g", [TOPIC]) as subscription:
        assert await subscription.lag() == 4
        await take(subscription, 4)
        assert await subscription.lag() == 0


async def test_the_epoch_is_stable_while_nothing_is_lost(bus: Bus) -> None:
    before = await bus.epoch()
    await bus.publish(records("a"))
    assert await bus.epoch() == before


# What only a bus outside of the process can be asked.


async def test_emptying_valkey_changes_the_epoch(valkey_bus: Bus, valkey: Redis) -> None:
    before = await valkey_bus.epoch()
    await valkey.flushall()
    assert await valkey_bus.epoch() != before


async def test_reading_goes_on_after_valkey_was_emptied(valkey_bus: Bus, valkey: Redis) -> None:
    async with valkey_bus.subscribe("g", [TOPIC]) as subscription:
        await valkey_bus.publish(records("abc"))
        await take(subscription, 3)
        await valkey.flushall()
        with pytest.raises(SomaError, match="lost stored events"):  # what was lost must come first
            await valkey_bus.publish(records("abc", start=3))
        await valkey_bus.epoch()
        await valkey_bus.publish(records("abc", start=3))
        assert sorted(values(await take(subscription, 3))) == ["v3", "v4", "v5"]


async def test_a_lost_group_is_made_again_from_its_cursor(valkey_bus: Bus, valkey: Redis) -> None:
    async with valkey_bus.subscribe("g", [TOPIC]) as first:
        await valkey_bus.publish(records("aaa"))
        await take(first, 3)
    [stream] = [key async for key in valkey.scan_iter(match="soma:bus:*", _type="STREAM") if await valkey.xlen(key)]
    await valkey.xgroup_destroy(stream, "g")
    await valkey_bus.publish(records("aa", start=3))
    async with valkey_bus.subscribe("g", [TOPIC]) as second:
        assert values(await take(second, 2)) == ["v3", "v4"]


async def test_a_dead_members_partitions_and_deliveries_go_to_others(
    valkey_bus: Bus, valkey: Redis, hang: Callable[[object], None]
) -> None:
    await valkey_bus.publish(records("aaaa"))
    dead = valkey_bus.subscribe("g", [TOPIC])
    await dead.__aenter__()
    batch = await anext(aiter(dead))
    await dead.ack(batch[0])
    hang(dead)
    async with valkey_bus.subscribe("g", [TOPIC]) as heir:
        assert values(await take(heir, 3)) == ["v1", "v2", "v3"]


@pytest.fixture
def hang() -> Callable[[object], None]:
    """Stop a member without a word, as a killed process does."""

    def stop(subscription: object) -> None:
        for reader in subscription._readers:  # type: ignore[attr-defined]
            reader.cancel()

    return stop


async def test_old_records_make_room(valkey: Redis) -> None:
    bus = ValkeyStreams(valkey, MemoryCursors(), partitions=1, retention=timedelta(milliseconds=1))
    sent = 0

    async def trimmed() -> bool:
        nonlocal sent
        await bus.publish(records("a" * 500, start=sent))
        sent += 500
        return int(await valkey.xlen("soma:bus:{probe.events}:0")) < sent

    await eventually(trimmed)


async def test_a_bus_that_is_there_answers(bus: Bus) -> None:
    await bus.ping()
