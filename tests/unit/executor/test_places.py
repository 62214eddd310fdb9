"""Places at providers: nobody waits inside, and tenants take turns."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from mesh.testing.clock import FakeClock
from svc_executor.adapters.places import Places
from svc_executor.domain.processes import Capacity
from svc_executor.domain.provider import ProviderBusyError


class Desk:
    """Places, and who holds them."""

    def __init__(self, slots: int = 2, per_tenant: int = 2, in_all: int = 100) -> None:
        self.clock = FakeClock()
        self.heavy: set[str] = set()
        self.places = Places(slots, per_tenant, in_all, self.clock, self.heavy.__contains__)
        self.capacity: Capacity | None = None
        self.held: dict[str, list[ExitStack]] = {}

    def enters(self, tenant: str, pool: str = "model") -> bool:
        """Whether a tenant gets a place now; it keeps it."""
        stack = ExitStack()
        try:
            stack.enter_context(self.places.enter(pool, tenant, self.capacity))
        except ProviderBusyError:
            return False
        self.held.setdefault(tenant, []).append(stack)
        return True

    def leaves(self, tenant: str) -> None:
        """Give one of a tenant's places back."""
        self.held[tenant].pop().close()


def test_no_more_places_are_granted_than_there_are() -> None:
    desk = Desk(slots=2)
    assert [desk.enters("a"), desk.enters("b"), desk.enters("c")] == [True, True, False]


def test_a_tenant_leaves_a_place_for_another() -> None:
    desk = Desk(slots=2, per_tenant=1)
    assert [desk.enters("a"), desk.enters("a"), desk.enters("b")] == [True, False, True]


def test_a_place_that_got_free_goes_to_the_tenant_that_was_told_to_come_back() -> None:
    desk = Desk(slots=2)
    assert [desk.enters("a"), desk.enters("a"), desk.enters("b")] == [True, True, False]
    desk.leaves("a")
    assert [desk.enters("a"), desk.enters("b")] == [False, True]


def test_tenants_with_as_many_places_are_served_in_the_order_they_asked() -> None:
    desk = Desk(slots=1)
    assert [desk.enters("a"), desk.enters("b"), desk.enters("c")] == [True, False, False]
    desk.leaves("a")
    assert [desk.enters("c"), desk.enters("a"), desk.enters("b")] == [False, False, True]
    desk.leaves("b")
    assert [desk.enters("a"), desk.enters("c")] == [False, True]


async def test_a_turn_is_kept_only_as_long_as_its_tenant_comes_back() -> None:
    desk = Desk(slots=1)
    assert [desk.enters("a"), desk.enters("b")] == [True, False]
    desk.leaves("a")
    assert not desk.enters("a")
    await desk.clock.advance(30)
    assert desk.enters("a")


async def test_the_wait_grows_with_what_calls_take_and_with_those_ahead() -> None:
    desk = Desk(slots=1)
    for _ in range(20):
        assert desk.enters("a")
        await desk.clock.advance(4)
        desk.leaves("a")
    assert desk.enters("a")
    waits: list[float] = []
    for tenant in ("b", "c"):
        with pytest.raises(ProviderBusyError) as caught, desk.places.enter("model", tenant):
            pass
        waits.append(caught.value.retry_after_s)
    assert waits == [pytest.approx(4, rel=0.1), pytest.approx(8, rel=0.1)]


def test_tenants_of_heavy_use_leave_the_reserved_places_to_others() -> None:
    desk = Desk()
    desk.capacity = Capacity(4, 4, reserved=2)
    desk.heavy |= {"a", "b"}
    assert [desk.enters(tenant) for tenant in "aabcc"] == [True, True, False, True, True]


def test_a_reserved_place_of_a_tenant_that_became_heavy_is_made_up_for() -> None:
    desk = Desk()
    desk.capacity = Capacity(2, 1, reserved=1)
    assert [desk.enters(tenant) for tenant in "abc"] == [True, True, False]
    desk.heavy |= {"a", "b"}
    assert [desk.enters(tenant) for tenant in "acd"] == [False, True, False]


def test_one_tenant_has_a_bounded_number_of_places_in_all() -> None:
    desk = Desk(slots=2, in_all=3)
    entered = [desk.enters("a", f"model-{number}") for number in range(5)]
    assert entered == [True, True, True, False, False]
    assert desk.enters("b", "model-4")


def test_a_tenant_with_all_its_places_holds_no_turn_before_others() -> None:
    desk = Desk(slots=1, in_all=2)
    assert [desk.enters("a", "other-1"), desk.enters("a", "other-2"), desk.enters("a")] == [True, True, False]
    assert desk.enters("b")
    desk.leaves("b")
    desk.leaves("a")
    assert [desk.enters("c"), desk.enters("a")] == [False, True]


async def test_pools_that_nobody_uses_are_forgotten() -> None:
    desk = Desk()
    for number in range(2_000):
        assert desk.enters("a", f"model-{number}")
        desk.leaves("a")
    assert len(desk.places) <= 256
