"""The stores of the selector in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError, not_found
from mesh.idempotency import NO_KEY, RequestKey
from svc_selector.domain.budget import (
    OVERALL,
    Budget,
    Reservation,
    ReservationState,
    amount_to_book,
    amount_to_reserve,
    month_start,
    needs_no_booking,
    scopes_of,
)
from svc_selector.domain.decision import BudgetReservation, StoredSelection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from mesh.clock import Clock
    from mesh.ids import Ids
    from svc_selector.domain.budget import CallCharge
    from svc_selector.domain.decision import Decision


class MemoryDecisionStore:
    """`DecisionStore` without events."""

    def __init__(self, to_bytes: Callable[[Decision], bytes]) -> None:
        self._to_bytes = to_bytes
        self._stored: dict[str, Decision] = {}
        self._requests: dict[tuple[str, str], str] = {}

    async def record(self, decisions: Sequence[Decision]) -> None:
        for decision in decisions:
            if decision.selection_request.key.request_id and decision.chosen:
                key = (decision.subject.tenant_id, decision.selection_request.key.request_id)
                if self._requests.setdefault(key, decision.selection_id) != decision.selection_id:
                    raise SomaError(Reason.CONFLICT, "this request_id is being answered by another call; repeat it")
            self._stored.setdefault(decision.selection_id, decision)

    async def record_one(self, decision: Decision) -> None:
        await self.record([decision])

    async def get(self, tenant_id: str, selection_id: str) -> bytes | None:
        stored = self._stored.get(selection_id)
        return self._to_bytes(stored) if stored and stored.subject.tenant_id == tenant_id else None

    async def get_by_request(self, tenant_id: str, request_id: str) -> StoredSelection | None:
        selection_id = self._requests.get((tenant_id, request_id))
        stored = self._stored[selection_id] if selection_id else None
        return StoredSelection(self._to_bytes(stored), stored.selection_request.key.digest) if stored else None

    async def list(self, tenant_id: str, job_id: str, size: int, before: str) -> Sequence[bytes]:
        found = sorted(
            (
                stored
                for stored in self._stored.values()
                if stored.subject.tenant_id == tenant_id
                and job_id in ("", stored.subject.job_id)
                and (not before or stored.selection_id < before)
            ),
            key=lambda stored: stored.selection_id,
            reverse=True,
        )
        return [self._to_bytes(stored) for stored in found[:size]]


class MemoryLedger:
    """`Ledger` in memory. No method awaits between a check and its booking, so calls never interleave."""

    def __init__(self, decisions: MemoryDecisionStore, clock: Clock, ids: Ids, default_limit_micro_usd: int) -> None:
        self._decisions = decisions
        self._clock = clock
        self._ids = ids
        self._default = default_limit_micro_usd
        self._limits: dict[tuple[str, str], tuple[int, str]] = {}
        self._accounts: dict[tuple[str, str, datetime], list[int]] = {}
        self._answers: dict[tuple[str, str], tuple[str, Budget]] = {}
        self._reservations: dict[str, tuple[str, str, datetime, Reservation]] = {}

    async def reserve(
        self, tenant_id: str, modality: str, amount_micro_usd: int, ttl: timedelta, decision: Decision | None
    ) -> BudgetReservation | None:
        now = self._clock.now()
        headroom = self._headroom(tenant_id, modality, month_start(now))
        if headroom < amount_micro_usd:
            return None
        budget_reservation = BudgetReservation(
            self._ids.new(), amount_micro_usd, headroom - amount_micro_usd, now + ttl
        )
        if decision is not None:
            await self._decisions.record([replace(decision, reservation=budget_reservation)])
        self._book(tenant_id, modality, month_start(now), amount_micro_usd, 0)
        reservation = Reservation(
            budget_reservation.reservation_id,
            ReservationState.HELD,
            amount_micro_usd,
            0,
            budget_reservation.expires_at,
            prices=decision.chosen.prices if decision and decision.chosen else None,
        )
        self._reservations[budget_reservation.reservation_id] = (tenant_id, modality, month_start(now), reservation)
        return budget_reservation

    def _account(self, tenant_id: str, scope: str, period: datetime) -> list[int]:
        return self._accounts.setdefault((tenant_id, scope, period), [0, 0])

    def _headroom(self, tenant_id: str, modality: str, period: datetime) -> int:
        limits = {scope: self._limits.get((tenant_id, scope)) for scope in scopes_of(modality)}
        caps = {scope: limit[0] for scope, limit in limits.items() if limit is not None}
        caps.setdefault(OVERALL, self._default)
        return min(cap - sum(self._account(tenant_id, scope, period)) for scope, cap in caps.items())

    def _book(self, tenant_id: str, modality: str, period: datetime, reserved: int, settled: int) -> None:
        for scope in scopes_of(modality):
            account = self._account(tenant_id, scope, period)
            account[0] += reserved
            account[1] += settled

    def _close(
        self, reservation_id: str, state: ReservationState, reserved: int, settled: int, cost: int = 0
    ) -> Reservation:
        tenant_id, modality, period, reservation = self._reservations[reservation_id]
        self._book(tenant_id, modality, period, -reserved, settled)
        closed = replace(reservation, state=state, settled_micro_usd=settled, cost_micro_usd=cost)
        self._reservations[reservation_id] = (tenant_id, modality, period, closed)
        return closed

    def _find(self, tenant_id: str, reservation_id: str) -> tuple[str, datetime, Reservation]:
        owner, modality, period, reservation = self._reservations.get(reservation_id, ("", "", self._clock.now(), None))
        if reservation is None or owner != tenant_id:
            raise not_found("reservation", reservation_id)
        return modality, period, reservation

    async def renew(self, tenant_id: str, reservation_id: str, ttl: timedelta) -> Reservation:
        modality, period, reservation = self._find(tenant_id, reservation_id)
        amount = amount_to_reserve(reservation, self._headroom(tenant_id, modality, period))
        self._book(tenant_id, modality, period, amount, 0)
        renewed = replace(reservation, state=ReservationState.HELD, expires_at=self._clock.now() + ttl)
        self._reservations[reservation_id] = (tenant_id, modality, period, renewed)
        return renewed

    async def settle(self, tenant_id: str, reservation_id: str, charge: CallCharge) -> Reservation:
        modality, period, reservation = self._find(tenant_id, reservation_id)
        cost = charge.cost_of(reservation)
        if needs_no_booking(reservation, cost):
            return reservation
        reserved = reservation.reserved_micro_usd if reservation.state is ReservationState.HELD else 0
        booked = amount_to_book(cost, reserved, self._headroom(tenant_id, modality, period))
        return self._close(reservation_id, ReservationState.SETTLED, reserved, booked, cost)

    async def release(self, tenant_id: str, reservation_id: str) -> Reservation:
        _, _, reservation = self._find(tenant_id, reservation_id)
        if reservation.state is not ReservationState.HELD:
            return reservation
        return self._close(reservation_id, ReservationState.RELEASED, reservation.reserved_micro_usd, 0)

    async def expire_reservations(self) -> int:
        expired = [
            reservation
            for _, _, _, reservation in self._reservations.values()
            if reservation.state is ReservationState.HELD and reservation.expires_at <= self._clock.now()
        ]
        for reservation in expired:
            self._close(reservation.reservation_id, ReservationState.EXPIRED, reservation.reserved_micro_usd, 0)
        return len(expired)

    async def list_budgets(self, tenant_id: str) -> Sequence[Budget]:
        scopes = sorted({OVERALL, *(scope for owner, scope in self._limits if owner == tenant_id)})
        return [self._budget(tenant_id, scope) for scope in scopes]

    def _budget(self, tenant_id: str, scope: str) -> Budget:
        period = month_start(self._clock.now())
        limit, subject = self._limits.get((tenant_id, scope), (self._default, ""))
        reserved, settled = self._account(tenant_id, scope, period)
        return Budget(scope, limit, reserved, settled, period, subject)

    async def set_budget(
        self, tenant_id: str, scope: str, limit_micro_usd: int, subject: str, key: RequestKey = NO_KEY
    ) -> Budget:
        request = (tenant_id, key.request_id)
        if request in self._answers:
            digest, answer = self._answers[request]
            key.require_same(digest)
            return answer
        self._limits[(tenant_id, scope)] = (limit_micro_usd, subject)
        budget = self._budget(tenant_id, scope)
        if key.request_id:
            self._answers[request] = (key.digest, budget)
        return budget
