"""Events that cannot be applied: tried within bounds, then dead-lettered with their cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError
from mesh.events.bus import Record
from mesh.events.dead_letters import Cause
from soma.events.v1 import envelope_pb2
from tests.integration.mesh.events.inbox.scene import TOPIC, MakeEvent, Scene

if TYPE_CHECKING:
    import asyncpg

    from mesh.events.event import Event


async def test_a_failing_event_leaves_no_effect_and_is_tried_again(scene: Scene, event: MakeEvent) -> None:
    def fail_once(tried: Event) -> None:
        if scene.tries[tried.payload] == 1:
            raise RuntimeError("once")

    scene.fault = fail_once
    async with scene.consuming():
        await scene.publish(event(payload=b"1"))
        await scene.done(1)
    assert await scene.rows() == [b"1"]
    assert scene.dead_letters == []


async def test_poison_is_given_up_after_bounded_tries_with_its_cause(scene: Scene, event: MakeEvent) -> None:
    def always(tried: Event) -> None:
        raise RuntimeError("bad")

    scene.fault = always
    poison = event(payload=b"1")
    async with scene.consuming():
        await scene.publish(poison)
        await scene.done(1)
    [dead_letter] = scene.dead_letters
    assert (dead_letter.event, dead_letter.attempts, dead_letter.cause) == (poison, 3, Cause.FAILED)
    assert dead_letter.detail.startswith("RuntimeError in ")
    assert "bad" not in dead_letter.detail, "what an error says may be what the event said"
    assert await scene.rows() == []
    assert scene.tries[b"1"] == 3


async def test_what_is_no_event_is_given_up_at_once(scene: Scene, event: MakeEvent) -> None:
    async with scene.consuming():
        await scene.bus.publish([Record(TOPIC, "k", "not-even-a-uuid", b"\xff\xff")])
        await scene.publish(event(payload=b"1"))
        await scene.done(2)
    [dead_letter] = scene.dead_letters
    assert (dead_letter.event, dead_letter.event_id, dead_letter.value) == (None, "not-even-a-uuid", b"\xff\xff")
    assert await scene.rows() == [b"1"]


async def test_a_handler_that_hangs_is_cut_and_the_event_given_up(scene: Scene, event: MakeEvent) -> None:
    async def hang(connection: asyncpg.Connection, given: Event) -> None:
        scene.tries[given.payload] += 1
        await connection.execute("SELECT pg_sleep(60)")

    async with scene.consuming({"noted": hang}, timeout_s=0.05):
        await scene.publish(event(payload=b"1"))
        await scene.done(1)
    [dead_letter] = scene.dead_letters
    assert (dead_letter.cause, dead_letter.attempts, scene.tries[b"1"]) == (Cause.TIMEOUT, 3, 3)


async def test_what_policy_refuses_is_given_up_at_once(scene: Scene, event: MakeEvent) -> None:
    def refuse(_: Event) -> None:
        raise SomaError(Reason.POLICY_DENIED, "No")

    scene.fault = refuse
    async with scene.consuming():
        await scene.publish(event(payload=b"1"))
        await scene.done(1)
    [dead_letter] = scene.dead_letters
    assert (dead_letter.cause, dead_letter.attempts) == (Cause.POLICY, 1)


async def test_a_payload_that_is_not_what_its_type_says_is_malformed(scene: Scene, event: MakeEvent) -> None:
    async def parse(connection: asyncpg.Connection, given: Event) -> None:
        envelope_pb2.Envelope.FromString(given.payload)

    async with scene.consuming({"noted": parse}):
        await scene.publish(event(payload=b"\xff"))
        await scene.done(1)
    assert [(dead_letter.cause, dead_letter.attempts) for dead_letter in scene.dead_letters] == [(Cause.MALFORMED, 1)]


async def test_an_event_that_no_table_can_hold_is_malformed(scene: Scene, event: MakeEvent) -> None:
    await scene.bus.publish([Record(TOPIC, "k\0", "id\0", scene.codec.encode(event(tenant_id="a\0")))])
    async with scene.consuming():
        await scene.publish(event(payload=b"1"))
        await scene.done(2)
    [dead_letter] = scene.dead_letters
    assert (dead_letter.cause, dead_letter.event_id) == (Cause.MALFORMED, "id\ufffd")
