"""From the bus into the state: each event once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mesh.events.bus import Record
from mesh.stores.postgres import SYSTEM
from mesh.testing.contract import eventually
from tests.integration.mesh.events.inbox.scene import TOPIC, MakeEvent, Scene

if TYPE_CHECKING:
    import asyncpg

    from mesh.events.event import Event


async def test_an_event_is_applied_as_its_tenant(scene: Scene, event: MakeEvent) -> None:
    async with scene.consuming():
        await scene.publish(event(payload=b"1"), event(payload=b"2", tenant_id="b"))
        await scene.done(2)
    assert sorted(await scene.rows()) == [b"1", b"2"]


async def test_an_event_that_comes_twice_is_applied_once(scene: Scene, event: MakeEvent) -> None:
    sent = event(payload=b"1")
    value = scene.codec.encode(sent)
    async with scene.consuming():
        await scene.bus.publish([Record(TOPIC, "k", f"delivery-{n}", value) for n in range(5)])
        await scene.publish(event(payload=b"2"))
        await scene.done(2)
    assert await scene.rows() == [b"1", b"2"]
    assert scene.tries[b"1"] == 1


async def test_poison_does_not_hold_up_other_keys(scene: Scene, event: MakeEvent) -> None:
    stuck = asyncio.Event()

    async def handle(connection: asyncpg.Connection, given: Event) -> None:
        if given.key == "poison" and scene.tries[b"other"] < 20:
            stuck.set()
            raise RuntimeError("not yet")
        await scene.handle(connection, given)

    async with scene.consuming({"noted": handle}) as consumer:
        consumer._attempts = 10**9
        await scene.publish(event("poison", b"poison"))
        await stuck.wait()
        await scene.publish(*(event(f"k{n}", b"other") for n in range(20)))
        await scene.done(21)
    assert (await scene.rows()).count(b"other") == 20


async def test_order_of_a_key_holds_across_failures(scene: Scene, event: MakeEvent) -> None:
    def fail_some(tried: Event) -> None:
        if int(tried.payload) % 7 == 0 and scene.tries[tried.payload] < 3:
            raise RuntimeError("again")

    scene.fault = fail_some
    async with scene.consuming():
        await scene.publish(*(event("k", str(n).encode()) for n in range(60)))
        await scene.done(60)
    assert await scene.rows() == [str(n).encode() for n in range(60)]


async def test_an_event_nobody_handles_is_passed_over(scene: Scene, event: MakeEvent) -> None:
    async with scene.consuming():
        await scene.publish(event(type="unknown"), event(payload=b"1"))
        await scene.done(1)
    assert await scene.rows() == [b"1"]


async def test_an_event_for_another_group_is_passed_over(scene: Scene, event: MakeEvent) -> None:
    async with scene.consuming():
        await scene.publish(event(payload=b"1", group="other"), event(payload=b"2", group="g"))
        await scene.done(1)
        await eventually(lambda: scene.lags[-1:] == [0])
    assert await scene.rows() == [b"2"]


async def test_an_event_from_a_dead_letter_is_told_once_it_was_applied(scene: Scene, event: MakeEvent) -> None:
    async with scene.consuming():
        await scene.publish(event(payload=b"1", group="g", dlq_id="letter"))
        await scene.done(1)
    async with scene.postgres.transaction(SYSTEM) as connection:
        assert await connection.fetchval("SELECT event_id FROM given_up") == "g resolved letter"


async def test_the_lag_is_reported(scene: Scene, event: MakeEvent) -> None:
    stuck = asyncio.Event()

    async def wait(connection: asyncpg.Connection, given: Event) -> None:
        await stuck.wait()

    async with scene.consuming({"noted": wait}):
        await scene.publish(event(), event())
        await eventually(lambda: scene.lags[-1:] == [2])
        stuck.set()
        await eventually(lambda: scene.lags[-1:] == [0])


async def test_an_event_needs_what_delivery_needs(event: MakeEvent) -> None:
    for name in ("event_id", "type", "topic", "key"):
        with pytest.raises(ValueError, match=name):
            event(**{name: ""})
