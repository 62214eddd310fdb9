"""ProviderSlots at providers: nobody waits inside, and tenants take turns."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from mesh.testing.clock import FakeClock
from soma_providers.port import Capacity, ProviderBusyError
from soma_providers.runtime.slots import ProviderSlots


class SlotUsers:
    """ProviderSlots, and who holds them."""

    def __init__(self, slots: int = 2, per_tenant: int = 2, max_total_per_tenant: int = 100) -> None:
        self.clock = FakeClock()
        self.heavy: set[str] = set()
        self.slots = ProviderSlots(slots, per_tenant, max_total_per_tenant, self.clock, self.heavy.__contains__)
        self.capacity: Capacity | None = None
        self.held: dict[str, list[ExitStack]] = {}

    def enters(self, tenant: str, pool: str = "model") -> bool:
        """Whether a tenant gets a slot now; it keeps it."""
        stack = ExitStack()
        try:
            stack.enter_context(self.slots.acquire(pool, tenant, self.capacity))
        except ProviderBusyError:
            return False
        self.held.setdefault(tenant, []).append(stack)
        return True

    def leaves(self, tenant: str) -> None:
        """Give one of a tenant's slots back."""
        self.held[tenant].pop().close()


def test_no_more_places_are_granted_than_there_are() -> None:
    slot_users = SlotUsers(slots=2)
    assert [slot_users.enters("a"), slot_users.enters("b"), slot_users.enters("c")] == [True, True, False]


def test_a_tenant_leaves_a_place_for_another() -> None:
    slot_users = SlotUsers(slots=2, per_tenant=1)
    assert [slot_users.enters("a"), slot_users.enters("a"), slot_users.enters("b")] == [True, False, True]


def test_a_place_that_got_free_goes_to_the_tenant_that_was_told_to_come_back() -> None:
    slot_users = SlotUsers(slots=2)
    assert [slot_users.enters("a"), slot_users.enters("a"), slot_users.enters("b")] == [True, True, False]
    slot_users.leaves("a")
    assert [slot_users.enters("a"), slot_users.enters("b")] == [False, True]


def test_tenants_with_as_many_places_are_served_in_the_order_they_asked() -> None:
    slot_users = SlotUsers(slots=1)
    assert [slot_users.enters("a"), slot_users.enters("b"), slot_users.enters("c")] == [True, False, False]
    slot_users.leaves("a")
    assert [slot_users.enters("c"), slot_users.enters("a"), slot_users.enters("b")] == [False, False, True]
    slot_users.leaves("b")
    assert [slot_users.enters("a"), slot_users.enters("c")] == [False, True]


async def test_a_turn_is_kept_only_as_long_as_its_tenant_comes_back() -> None:
    slot_users = SlotUsers(slots=1)
    assert [slot_users.enters("a"), slot_users.enters("b")] == [True, False]
    slot_users.leaves("a")
    assert not slot_users.enters("a")
    await slot_users.clock.advance(30)
    assert slot_users.enters("a")


async def test_the_wait_grows_with_what_calls_take_and_with_those_ahead() -> None:
    slot_users = SlotUsers(slots=1)
    for _ in range(20):
        assert slot_users.enters("a")
        await slot_users.clock.advance(4)
        slot_users.leaves("a")
    assert slot_users.enters("a")
    waits: list[float] = []
    for tenant in ("b", "c"):
        with pytest.raises(ProviderBusyError) as caught, slot_users.slots.acquire("model", tenant):
            pass
        waits.append(caught.value.retry_after_s)
    assert waits == [pytest.approx(4, rel=0.1), pytest.approx(8, rel=0.1)]


def test_tenants_of_heavy_use_leave_the_reserved_places_to_others() -> None:
    slot_users = SlotUsers()
    slot_users.capacity = Capacity(4, 4, reserved=2)
    slot_users.heavy |= {"a", "b"}
    assert [slot_users.enters(tenant) for tenant in "aabcc"] == [True, True, False, True, True]


def test_a_reserved_place_of_a_tenant_that_became_heavy_is_made_up_for() -> None:
    slot_users = SlotUsers()
    slot_users.capacity = Capacity(2, 1, reserved=1)
    assert [slot_users.enters(tenant) for tenant in "abc"] == [True, True, False]
    slot_users.heavy |= {"a", "b"}
    assert [slot_users.enters(tenant) for tenant in "acd"] == [False, True, False]


def test_one_tenant_has_a_bounded_number_of_places_in_all() -> None:
    slot_users = SlotUsers(slots=2, max_total_per_tenant=3)
    entered = [slot_users.enters("a", f"model-{number}") for number in range(5)]
    assert entered == [True, True, True, False, False]
    assert slot_users.enters("b", "model-4")


def test_a_tenant_with_all_its_places_holds_no_turn_before_others() -> None:
    slot_users = SlotUsers(slots=1, max_total_per_tenant=2)
    assert [slot_users.enters("a", "other-1"), slot_users.enters("a", "other-2"), slot_users.enters("a")] == [
        True,
        True,
        False,
    ]
    assert slot_users.enters("b")
    slot_users.leaves("b")
    slot_users.leaves("a")
    assert [slot_users.enters("c"), slot_users.enters("a")] == [False, True]


async def test_pools_that_nobody_uses_are_forgotten() -> None:
    slot_users = SlotUsers()
    for number in range(2_000):
        assert slot_users.enters("a", f"model-{number}")
        slot_users.leaves("a")
    assert len(slot_users.slots) <= 256
