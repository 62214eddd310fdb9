"""Events that share a transaction."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mesh.events.bus import Record
from mesh.events.inbox import BatchHandler
from mesh.stores.postgres import SYSTEM
from mesh.testing.contract import eventually
from tests.integration.mesh.events.inbox.scene import TOPIC, MakeEvent, Scene

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from mesh.events.event import Event


async def test_events_of_many_tenants_share_a_transaction_and_keep_apart(scene: Scene, event: MakeEvent) -> None:
    transactions = set()

    async def handle(connection: asyncpg.Connection, given: Event) -> None:
        transactions.add(await connection.fetchval("SELECT txid_current()"))
        assert await connection.fetchval("SELECT current_setting('soma.tenant_id')") == (given.tenant_id or SYSTEM)
        await scene.handle(connection, given)

    await scene.publish(*(event(f"k{n % 7}", str(n).encode(), tenant_id=("a", "b", "")[n % 3]) for n in range(90)))
    async with scene.consuming({"noted": handle}):
        await scene.done(90)
    rows = [int(row) for row in await scene.rows()]
    assert sorted(rows) == list(range(90))
    assert all(line == sorted(line) for line in ([n for n in rows if n % 7 == key] for key in range(7)))
    assert len(transactions) < 20


async def test_a_failure_takes_nothing_of_its_batch_with_it(scene: Scene, event: MakeEvent) -> None:
    def fail(tried: Event) -> None:
        if tried.payload == b"50":
            raise RuntimeError("bad")

    scene.fault = fail
    await scene.publish(*(event(f"k{n % 10}", str(n).encode()) for n in range(100)))
    async with scene.consuming():
        await scene.done(100)
    assert sorted(map(int, await scene.rows())) == [n for n in range(100) if n != 50]
    assert [dead_letter.attempts for dead_letter in scene.dead_letters] == [3]
    assert scene.tries[b"50"] == 3


async def test_a_handler_of_many_gets_them_in_order_and_each_once(scene: Scene, event: MakeEvent) -> None:
    sizes: list[int] = []

    async def handle(connection: asyncpg.Connection, given: Sequence[Event]) -> None:
        sizes.append(len(given))
        for each in given:
            await scene.handle(connection, each)

    events = [event("k", str(n).encode()) for n in range(50)]
    await scene.publish(*events)
    await scene.bus.publish([Record(TOPIC, "k", f"again-{n}", scene.codec.encode(e)) for n, e in enumerate(events)])
    async with scene.consuming({"noted": BatchHandler(handle)}):
        await scene.done(50)
        await eventually(lambda: scene.lags[-1:] == [0])
    assert await scene.rows() == [str(n).encode() for n in range(50)]
    assert max(sizes) > 1


async def test_a_handler_of_many_that_fails_is_given_one_at_a_time(scene: Scene, event: MakeEvent) -> None:
    async def handle(connection: asyncpg.Connection, given: Sequence[Event]) -> None:
        for each in given:
            await scene.handle(connection, each)
        if any(each.payload == b"7" for each in given):
            raise RuntimeError("bad")

    await scene.publish(*(event(f"k{n}", str(n).encode()) for n in range(20)))
    async with scene.consuming({"noted": BatchHandler(handle)}):
        await scene.done(20)
    assert sorted(map(int, await scene.rows())) == [n for n in range(20) if n != 7]
    assert [dead_letter.event and dead_letter.event.payload for dead_letter in scene.dead_letters] == [b"7"]


async def test_events_that_stand_in_each_others_way_are_applied_all_the_same(scene: Scene, event: MakeEvent) -> None:
    async def handle(connection: asyncpg.Connection, given: Event) -> None:
        for name in given.payload.decode():
            await connection.execute("SELECT pg_advisory_xact_lock(ascii($1))", name)
            await asyncio.sleep(0.002)
        await connection.execute("INSERT INTO applied VALUES ($1, $2)", given.tenant_id, given.payload)

    async with scene.consuming({"noted": handle}):
        for n in range(20):
            await scene.publish(event(f"k{n}", (b"ab", b"ba")[n % 2]))
            await asyncio.sleep(0)
        await scene.done(20)
    assert len(await scene.rows()) == 20
    assert scene.dead_letters == [], "nobody was at fault"
