"""A database that goes away, and consumers that end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mesh.testing.contract import eventually

if TYPE_CHECKING:
    import asyncpg

    from mesh.events.event import Event
    from tests.integration.mesh.events.inbox.scene import MakeEvent, Scene


async def test_an_outage_of_the_database_is_not_a_try(scene: Scene, event: MakeEvent) -> None:
    async def handle(connection: asyncpg.Connection, given: Event) -> None:
        scene.tries[given.payload] += 1
        if scene.tries[given.payload] < 10:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        await scene.handle(connection, given)

    async with scene.consuming({"noted": handle}):
        await scene.publish(event(payload=b"1"))
        await scene.done(1)
    assert scene.dead_letters == []
    assert await scene.rows() == [b"1"]


async def test_the_end_leaves_a_failing_event_to_the_next_consumer(scene: Scene, event: MakeEvent) -> None:
    def down(_: Event) -> None:
        raise RuntimeError("no")

    scene.fault = down
    async with asyncio.timeout(20):
        async with scene.consuming() as consumer:
            consumer._attempts = 10**9
            await scene.publish(event(payload=b"1"))
            await eventually(lambda: scene.tries[b"1"] > 0)
    scene.fault = lambda _: None
    async with scene.consuming():
        await scene.done(1)
    assert await scene.rows() == [b"1"]


async def test_the_end_waits_for_an_event_in_hand(scene: Scene, event: MakeEvent) -> None:
    begun, finish = asyncio.Event(), asyncio.Event()

    async def slow(connection: asyncpg.Connection, given: Event) -> None:
        begun.set()
        await finish.wait()
        await scene.handle(connection, given)

    async with scene.consuming({"noted": slow}):
        await scene.publish(event(payload=b"1"))
        await begun.wait()
        asyncio.get_running_loop().call_later(0.05, finish.set)
    assert await scene.rows() == [b"1"]
