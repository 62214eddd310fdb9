"""Slots that tenants share: in turn, within their shares, and none lost by whoever goes away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import Reason, SomaError
from mesh.fairness import FairSlots
from mesh.testing.contract import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Work:
    """Requests that hold a slot until they are let go, in the order in which they got one."""

    def __init__(self, slots: FairSlots) -> None:
        self.slots = slots
        self.order: list[str] = []
        self.done = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    def ask(self, tenant: str) -> asyncio.Task[None]:
        task = asyncio.create_task(self._hold(tenant))
        self.tasks.append(task)
        return task

    async def _hold(self, tenant: str) -> None:
        async with self.slots.slot(tenant):
            self.order.append(tenant)
            await self.done.wait()

    async def end(self) -> None:
        self.done.set()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_tenants_take_turns() -> None:
    work = Work(FairSlots("probe", 1, per_tenant=1))
    work.done.set()
    async with work.slots.slot("first"):
        for tenant in "aaabbc":
            work.ask(tenant)
        await settle()
    await work.end()
    assert "".join(work.order) == "abcaba"


async def test_one_tenant_never_holds_more_than_its_share() -> None:
    work = Work(FairSlots("probe", 4, per_tenant=3))
    for tenant in "aaaaab":
        work.ask(tenant)
    await settle()
    assert sorted(work.order) == ["a", "a", "a", "b"]
    await work.end()


async def test_more_than_may_wait_is_refused() -> None:
    work = Work(FairSlots("probe", 1, per_tenant=1, waiting_per_tenant=2, waiting=3))
    for tenant in "aaab":
        work.ask(tenant)
    await settle()
    for tenant in ("a", "b", "c"):
        with pytest.raises(SomaError) as refused:
            async with work.slots.slot(tenant):
                pass
        assert refused.value.reason is Reason.OVERLOADED
    await work.end()
    assert (work.slots.in_use, work.slots.waiting) == (0, 0)


@pytest.mark.parametrize("within_s", [0, 0.001])
async def test_a_request_waits_no_longer_than_it_may(within_s: float) -> None:
    slots = FairSlots("probe", 1, per_tenant=1)
    async with slots.slot("a", within_s):
        with pytest.raises(SomaError) as refused:
            async with slots.slot("b", within_s):
                pass
        assert refused.value.reason is Reason.OVERLOADED
        assert (slots.in_use, slots.waiting) == (1, 0)
    assert slots.in_use == 0


async def test_slot_granted_to_a_request_that_goes_away_in_the_same_moment_is_not_lost() -> None:
    slots = FairSlots("probe", 1, per_tenant=1)
    work = Work(slots)
    assert slots.try_acquire("first")
    leaving = work.ask("a")
    await settle()
    leaving.cancel()
    slots.release("first")
    await settle()
    assert (slots.in_use, slots.waiting) == (0, 0)
    late = work.ask("a")
    await settle()
    granted = work.ask("b")
    await settle()
    late.cancel()
    await settle()
    assert work.order == ["a", "b"]
    granted.cancel()
    await work.end()


class Heavy(set[str]):
    """The tenants whose use is heavy."""

    def slots(self, slots: int = 4, per_tenant: int = 4) -> FairSlots:
        return FairSlots("probe", slots, per_tenant=per_tenant, reserved=slots // 2, is_low_priority=self.__contains__)


async def test_heavy_tenants_leave_the_reserved_slots_to_others() -> None:
    work = Work(Heavy("ab").slots())
    for tenant in "aaabbc":
        work.ask(tenant)
    await settle()
    assert sorted(work.order) == ["a", "a", "c"]
    await work.end()


async def test_a_light_tenant_gets_a_slot_though_heavy_ones_hold_the_reserved() -> None:
    heavy = Heavy()
    work = Work(heavy.slots())
    for tenant in "aabb":
        work.ask(tenant)
    await settle()
    heavy.update("ab")
    for tenant in "abccc":
        work.ask(tenant)
    await settle()
    assert work.order == ["a", "a", "b", "b", "c", "c"]
    assert work.slots.waiting == 3
    await work.end()


async def test_a_waiting_tenant_is_served_when_the_holders_become_heavy() -> None:
    heavy = Heavy()
    work = Work(heavy.slots(2, 1))
    for tenant in "abc":
        work.ask(tenant)
    await settle()
    assert work.order == ["a", "b"]
    heavy.update("ab")
    await eventually(lambda: work.order == ["a", "b", "c"])
    await work.end()


steps = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["ask", "cancel", "turn"])), max_size=40)


@given(steps, st.integers(0, 2))
def test_slots_are_neither_lost_nor_made(plan: Sequence[tuple[str, str]], reserved: int) -> None:
    async def run() -> None:
        heavy = Heavy()
        slots = FairSlots(
            "probe", 3, per_tenant=2, waiting_per_tenant=50, reserved=reserved, is_low_priority=heavy.__contains__
        )
        work = Work(slots)
        for tenant, step in plan:
            if step == "turn":
                heavy ^= {tenant}
            elif step == "ask" or not work.tasks:
                work.ask(tenant)
            else:
                work.tasks.pop(0).cancel()
            await asyncio.sleep(0)
            assert slots.in_use <= 3 + reserved
        await settle()
        waiting = [task for task in work.tasks if not task.done()]
        assert slots.in_use >= min(1, len(waiting))
        await work.end()
        await settle()
        assert (slots.in_use, slots.waiting) == (0, 0)
        heavy.clear()
        assert all(slots.try_acquire(tenant) for tenant in "abc")

    asyncio.run(run())
