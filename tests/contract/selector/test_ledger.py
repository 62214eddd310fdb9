"""What every ledger and every store of decisions promises; above all: settled + reserved never passes a cap."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.degradation import DegradationLevel
from mesh.errors import Reason, SomaError
from mesh.idempotency import RequestKey
from mesh.ids import SystemIds
from mesh.stores.postgres import SYSTEM
from mesh.testing import FakeClock
from svc_selector.adapters.postgres import PostgresDecisionStore
from svc_selector.domain.budget import OVERALL, ReservationState, amount_to_book
from svc_selector.domain.decision import Decision, StoredSelection
from svc_selector.domain.model import Candidate, DecisionSource, Requirements, SelectionRequest, Subject
from svc_selector.rpc import SelectionConverter
from tests.contract.selector.harness import LIMIT, LedgerHarness, at_cost
from tests.in_memory.selector import MemoryDecisionStore, MemoryLedger

if TYPE_CHECKING:
    from svc_selector.app.ports import Ledger

TTL = timedelta(minutes=15)
IDS = SystemIds()


def decision(clock: FakeClock, *, tenant: str = "acme", request_id: str = "", job_id: str = "") -> Decision:
    candidate = Candidate("d2@local", "d2", "local", ("image",), ("image_photo",))
    return Decision(
        selection_id=IDS.new(),
        selection_request=SelectionRequest(
            Requirements("image", "image_photo"), key=RequestKey.for_request(request_id)
        ),
        subject=Subject(tenant, "alice", job_id=job_id),
        chosen=candidate,
        ranked=(),
        rejected=(),
        source=DecisionSource.LADDER,
        reason="because",
        policy_id="p",
        ladder_version=1,
        reservation=None,
        degradation_level=DegradationLevel.NONE,
        stale_since=None,
        decided_at=clock.now(),
        elapsed_us=1,
    )


async def spent(ledger: Ledger, tenant: str = "acme") -> tuple[int, int]:
    overall = (await ledger.list_budgets(tenant))[0]
    return overall.reserved_micro_usd, overall.settled_micro_usd


async def test_a_reservation_holds_its_amount(harness: LedgerHarness) -> None:
    held = await harness.ledger.reserve("acme", "image", 400, TTL, None)
    assert held is not None
    assert (held.amount_micro_usd, held.remaining_micro_usd) == (400, 600)
    assert await spent(harness.ledger) == (400, 0)


async def test_what_a_cap_does_not_bear_is_refused_and_writes_nothing(harness: LedgerHarness) -> None:
    await harness.ledger.reserve("acme", "image", 700, TTL, None)
    assert await harness.ledger.reserve("acme", "image", 301, TTL, decision(harness.clock)) is None
    assert await spent(harness.ledger) == (700, 0)
    assert list(await harness.decisions.list("acme", "", 10, "")) == []


async def test_a_modality_has_its_own_cap(harness: LedgerHarness) -> None:
    await harness.ledger.set_budget("acme", "image", 100, "alice")
    assert await harness.ledger.reserve("acme", "image", 101, TTL, None) is None
    assert await harness.ledger.reserve("acme", "video", 101, TTL, None) is not None


async def test_tenants_have_budgets_of_their_own(harness: LedgerHarness) -> None:
    await harness.ledger.reserve("acme", "image", LIMIT, TTL, None)
    assert await harness.ledger.reserve("umbrella", "image", LIMIT, TTL, None) is not None


async def test_settling_books_the_true_cost_once(harness: LedgerHarness) -> None:
    held = await harness.ledger.reserve("acme", "image", 400, TTL, None)
    assert held is not None
    first = await harness.ledger.settle("acme", held.reservation_id, at_cost(250))
    assert (first.state, first.settled_micro_usd) == (ReservationState.SETTLED, 250)
    assert await harness.ledger.settle("acme", held.reservation_id, at_cost(999)) == first
    assert await spent(harness.ledger) == (0, 250)


async def test_a_cost_above_the_reservation_is_booked_up_to_the_cap(harness: LedgerHarness) -> None:
    held = await harness.ledger.reserve("acme", "image", 900, TTL, None)
    assert held is not None
    settled = await harness.ledger.settle("acme", held.reservation_id, at_cost(5_000))
    assert settled.settled_micro_usd == LIMIT


async def test_releasing_gives_everything_back_once(harness: LedgerHarness) -> None:
    held = await harness.ledger.reserve("acme", "image", 400, TTL, None)
    assert held is not None
    for _ in range(2):
        assert (await harness.ledger.release("acme", held.reservation_id)).state is ReservationState.RELEASED
    assert await spent(harness.ledger) == (0, 0)
    assert (await harness.ledger.settle("acme", held.reservation_id, at_cost(0))).state is ReservationState.RELEASED


async def test_a_call_that_was_made_on_a_released_reservation_is_booked_once(harness: LedgerHarness) -> None:
    held = await harness.ledger.reserve("acme", "image", 400, TTL, None)
    assert held is not None
    await harness.ledger.release("acme", held.reservation_id)
    for _ in range(2):
        assert (await harness.ledger.settle("acme", held.reservation_id, at_cost(400))).settled_micro_usd == 400
    assert await spent(harness.ledger) == (0, 400)


async def test_a_reservation_of_another_tenant_does_not_exist(harness: LedgerHarness) -> None:
    held = await harness.ledger.reserve("acme", "image", 400, TTL, None)
    assert held is not None
    id_ = held.reservation_id
    ledger = harness.ledger
    for call in (
        ledger.release("umbrella", id_),
        ledger.settle("umbrella", id_, at_cost(1)),
        ledger.renew("umbrella", id_, TTL),
    ):
        with pytest.raises(SomaError) as hidden:
            await call
        assert hidden.value.reason is Reason.NOT_FOUND
    assert await spent(harness.ledger) == (400, 0)


async def test_an_expired_reservation_is_freed_and_settles_within_the_cap(harness: LedgerHarness) -> None:
    held = await harness.ledger.reserve("acme", "image", 800, TTL, None)
    assert held is not None
    assert await harness.ledger.expire_reservations() == 0
    await harness.clock.advance(TTL.total_seconds())
    assert await harness.ledger.expire_reservations() == 1
    assert await spent(harness.ledger) == (0, 0)
    await harness.ledger.reserve("acme", "image", 700, TTL, None)
    late = await harness.ledger.settle("acme", held.reservation_id, at_cost(800))
    assert late.settled_micro_usd == 300
    assert await spent(harness.ledger) == (700, 300)


async def test_a_new_month_starts_from_nothing(harness: LedgerHarness) -> None:
    await harness.ledger.reserve("acme", "image", LIMIT, TTL, None)
    await harness.clock.advance(timedelta(days=31).total_seconds())
    assert await harness.ledger.reserve("acme", "image", LIMIT, TTL, None) is not None


async def test_a_decision_is_written_with_its_reservation(harness: LedgerHarness) -> None:
    made = decision(harness.clock)
    held = await harness.ledger.reserve("acme", "image", 5, TTL, made)
    assert held is not None
    serialized = await harness.decisions.get("acme", made.selection_id)
    assert serialized == SelectionConverter().to_bytes(replace(made, reservation=held))
    assert await harness.decisions.get("umbrella", made.selection_id) is None


async def test_a_request_id_makes_one_decision(harness: LedgerHarness) -> None:
    first = decision(harness.clock, request_id="r1")
    await harness.decisions.record([first])
    with pytest.raises(SomaError) as lost:
        await harness.decisions.record([decision(harness.clock, request_id="r1")])
    assert lost.value.reason is Reason.CONFLICT
    recorded = StoredSelection(SelectionConverter().to_bytes(first), RequestKey.for_request("r1").digest)
    assert await harness.decisions.get_by_request("acme", "r1") == recorded
    await harness.decisions.record([decision(harness.clock, tenant="umbrella", request_id="r1")])


async def test_decisions_come_newest_first_and_in_pages(harness: LedgerHarness) -> None:
    made = [decision(harness.clock, job_id="j") for _ in range(3)]
    await harness.decisions.record([*made, decision(harness.clock, job_id="other")])
    to_bytes = SelectionConverter().to_bytes
    assert list(await harness.decisions.list("acme", "j", 2, "")) == [to_bytes(made[2]), to_bytes(made[1])]
    assert list(await harness.decisions.list("acme", "j", 2, made[1].selection_id)) == [to_bytes(made[0])]


async def test_what_is_written_anew_is_told_once(postgres_harness: LedgerHarness) -> None:
    decisions = postgres_harness.decisions
    assert isinstance(decisions, PostgresDecisionStore)
    made = decision(postgres_harness.clock)
    await decisions.record([made])
    await decisions.record([made])
    async with decisions._postgres.transaction(SYSTEM) as connection:
        rows = await connection.fetch("SELECT type, tenant_id FROM outbox")
    assert [tuple(row) for row in rows] == [("soma.events.v1.SelectionsMade", "acme")]


async def test_64_at_once_never_pass_a_budget_for_10(harness: LedgerHarness) -> None:
    """Invariant 3, short form."""

    async def spend(number: int) -> int:
        held = await harness.ledger.reserve("acme", ("image", "video")[number % 2], 100, TTL, None)
        if held is None:
            return 0
        if number % 3 == 0:
            await harness.ledger.release("acme", held.reservation_id)
            return 0
        return (await harness.ledger.settle("acme", held.reservation_id, at_cost(100))).settled_micro_usd

    for _ in range(3):
        await asyncio.gather(*(spend(number) for number in range(64)))
        reserved, settled = await spent(harness.ledger)
        assert reserved + settled <= LIMIT
    while await spend(1):
        pass
    assert await spent(harness.ledger) == (0, LIMIT)


@dataclass
class CarelessLedger:
    """A planted bug: looks first, reserves later."""

    limit: int
    reserved: int = 0

    async def reserve(self, amount: int) -> bool:
        fits = self.reserved + amount <= self.limit
        await asyncio.sleep(0)
        if fits:
            self.reserved += amount
        return fits


async def test_the_race_above_catches_a_ledger_that_looks_first_and_books_later() -> None:
    careless = CarelessLedger(LIMIT)
    await asyncio.gather(*(careless.reserve(100) for _ in range(64)))
    assert careless.reserved > LIMIT


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["reserve", "settle", "release", "renew", "expire"]), st.integers(0, 600), st.integers(0, 5)
        ),
        max_size=40,
    )
)
async def test_no_order_of_calls_overspends(steps: list[tuple[str, int, int]]) -> None:
    clock = FakeClock()
    ledger = MemoryLedger(MemoryDecisionStore(SelectionConverter().to_bytes), clock, SystemIds(), LIMIT)
    held: list[str] = []
    for action, amount, index in steps:
        if action == "reserve":
            made = await ledger.reserve("acme", "image", amount, TTL, None)
            held += [made.reservation_id] if made else []
        elif action == "expire":
            await clock.advance(TTL.total_seconds() * (amount % 2))
            await ledger.expire_reservations()
        elif action == "renew":
            with suppress(SomaError):
                await ledger.renew("acme", held[index % len(held)] if held else "", TTL)
        elif held:
            chosen = held[index % len(held)]
            await (
                ledger.settle("acme", chosen, at_cost(amount * 3))
                if action == "settle"
                else ledger.release("acme", chosen)
            )
        reserved, settled = await spent(ledger)
        assert reserved >= 0
        assert reserved + settled <= LIMIT


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(-1000, 1000))
def test_booking_never_passes_what_is_held_and_free(cost: int, held: int, headroom: int) -> None:
    booked = amount_to_book(cost, held, headroom)
    assert 0 <= booked <= cost
    assert booked <= held + max(headroom, 0)


def test_the_overall_scope_is_not_a_modality() -> None:
    assert OVERALL == ""
