"""Computations in threads: one of a tenant at a time, also when their callers go away."""

from __future__ import annotations

import asyncio
import threading

import pytest

from mesh.errors import Reason, SomaError
from mesh.thread_slots import ThreadSlots

TIME = 30


class Work:
    """A computation that goes on until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self.go_on.wait(TIME)
        return threading.current_thread().name

    async def has_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, TIME)


async def test_a_tenant_has_one_call_at_a_time_and_others_get_their_turn() -> None:
    slots, first, second, other = ThreadSlots("probe"), Work(), Work(), Work()
    async with asyncio.timeout(TIME), asyncio.TaskGroup() as group:
        group.create_task(slots.run("acme", first))
        await first.has_begun()
        again = group.create_task(slots.run("acme", second))
        beside = group.create_task(slots.run("umbrella", other))
        await other.has_begun()
        assert (slots.in_use, slots.waiting, second.begun.is_set()) == (2, 1, False)
        for work in (first, second, other):
            work.go_on.set()
        assert threading.main_thread().name not in {await again, await beside}


async def test_the_slot_of_a_cancelled_call_is_held_until_its_thread_is_done() -> None:
    slots, first, second = ThreadSlots("probe"), Work(), Work()
    async with asyncio.timeout(TIME), asyncio.TaskGroup() as group:
        call = group.create_task(slots.run("acme", first))
        await first.has_begun()
        next_one = group.create_task(slots.run("acme", second))
        call.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert (slots.in_use, slots.waiting, second.begun.is_set()) == (1, 1, False)
        first.go_on.set()
        second.go_on.set()
        await next_one
    assert call.cancelled()
    assert slots.in_use == 0


async def test_what_a_call_raises_is_raised_and_more_than_may_wait_are_refused() -> None:
    slots, work = ThreadSlots("probe", waiting_per_tenant=0), Work()
    async with asyncio.timeout(TIME), asyncio.TaskGroup() as group:
        group.create_task(slots.run("acme", work))
        await work.has_begun()
        with pytest.raises(SomaError) as refused:
            await slots.run("acme", work)
        work.go_on.set()
    assert refused.value.reason is Reason.OVERLOADED
    with pytest.raises(ZeroDivisionError):
        await slots.run("acme", lambda: 1 // 0)
