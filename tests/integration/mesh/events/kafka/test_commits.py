"""What is committed, and what comes again: acknowledgements out of order, cut and large publishes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.events.bus import Record
from mesh.events.kafka import KafkaBus
from mesh.testing.contract import eventually, take
from tests.integration.mesh.events.kafka.rig import TOPIC, collecting, committed, ids, records

if TYPE_CHECKING:
    from mesh.settings import BusSettings


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


async def test_a_publish_that_is_cut_leaves_no_gap_and_no_task(kafka: BusSettings) -> None:
    before = asyncio.all_tasks()
    first, last = records("first"), records("last")
    async with KafkaBus(kafka, topics=[TOPIC]) as bus:
        await bus.publish(records("warm"))
        cut = asyncio.create_task(bus.publish(first))
        while not bus._publisher._unacknowledged:  # noqa: ASYNC110 - until its batches are on their way
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


async def test_a_record_that_is_too_large_is_told_from_an_outage_and_others_pass(kafka: BusSettings) -> None:
    limited = kafka.model_copy(update={"max_message_bytes": 64 << 10})
    async with KafkaBus(limited, topics=[TOPIC]) as bus, bus.subscribe("g", [TOPIC]) as member:
        for _ in range(2):
            with pytest.raises(SomaError) as caught:
                await bus.publish([Record(TOPIC, "k", "large", bytes(128 << 10))])
            assert caught.value.reason is Reason.PAYLOAD_TOO_LARGE
        await bus.publish([Record(TOPIC, "k", "small", b"y")])
        assert [delivery.value for delivery in await take(member, 1)] == [b"y"]
