"""Budgets, reservations and decisions in the memory of one process."""

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
    amount_to_reserve,
    bookable,
    nothing_to_book,
    period_of,
)
from svc_selector.domain.decision import BudgetReservation, Recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from mesh.clock import Clock
    from mesh.ids import Ids
    from svc_selector.domain.budget import CallCharge
    from svc_selector.domain.decision import Decision


class MemoryDecisions:
    """Past decisions; nothing outlives the process, and events are not published."""

    def __init__(self, document: Callable[[Decision], bytes]) -> None:
        self._document = document
        self._stored: dict[str, Decision] = {}
        self._requests: dict[tuple[str, str], str] = {}

    async def record(self, decisions: Sequence[Decision]) -> None:
        """Keeps decisions; one that is there already stays as it is."""
        for decision in decisions:
            if decision.selection_request.key.request_id and decision.chosen:
                key = (decision.subject.tenant_id, decision.selection_request.key.request_id)
                if self._requests.setdefault(key, decision.selection_id) != decision.selection_id:
                    raise SomaError(Reason.CONFLICT, "this request_id is being answered by another call; repeat it")
            self._stored.setdefault(decision.selection_id, decision)

    async def record_one(self, decision: Decision) -> None:
        """Keeps one decision."""
        await self.record([decision])

    async def get(self, tenant_id: str, selection_id: str) -> bytes | None:
        """The document of one decision."""
        stored = self._stored.get(selection_id)
        return self._document(stored) if stored and stored.subject.tenant_id == tenant_id else None

    async def by_request(self, tenant_id: str, request_id: str) -> Recorded | None:
        """The decision that a request id made."""
        selection_id = self._requests.get((tenant_id, request_id))
        stored = self._stored[selection_id] if selection_id else None
        return Recorded(self._document(stored), stored.selection_request.key.digest) if stored else None

    async def list(self, tenant_id: str, job_id: str, size: int, before: str) -> Sequence[bytes]:
        """Documents, newest first."""
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
        return [self._document(stored) for stored in found[:size]]


class MemoryLedger:
    """Budgets and reservations. No await stands between a check and its booking, so calls never interleave."""

    def __init__(self, decisions: MemoryDecisions, clock: Clock, ids: Ids, default_limit_micro_usd: int) -> None:
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
        """Holds an amount under every cap."""
        now = self._clock.now()
        left = self._headroom(tenant_id, modality, period_of(now))
        if left < amount_micro_usd:
            return None
        budget_reservation = BudgetReservation(self._ids.new(), amount_micro_usd, left - amount_micro_usd, now + ttl)
        if decision is not None:
            await self._decisions.record([replace(decision, reservation=budget_reservation)])
        self._book(tenant_id, modality, period_of(now), amount_micro_usd, 0)
        reservation = Reservation(
            budget_reservation.reservation_id,
            ReservationState.HELD,
            amount_micro_usd,
            0,
            budget_reservation.expires_at,
            prices=decision.chosen.prices if decision and decision.chosen else None,
        )
        self._reservations[budget_reservation.reservation_id] = (tenant_id, modality, period_of(now), reservation)
        return budget_reservation

    def _account(self, tenant_id: str, scope: str, period: datetime) -> list[int]:
        return self._accounts.setdefault((tenant_id, scope, period), [0, 0])

    def _headroom(self, tenant_id: str, modality: str, period: datetime) -> int:
        caps = {OVERALL: self._limits.get((tenant_id, OVERALL), (self._default, ""))[0]}
        if (tenant_id, modality) in self._limits:
            caps[modality] = self._limits[(tenant_id, modality)][0]
        return min(cap - sum(self._account(tenant_id, scope, period)) for scope, cap in caps.items())

    def _book(self, tenant_id: str, modality: str, period: datetime, reserved: int, settled: int) -> None:
        for scope in (OVERALL, modality):
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
        """Holds a reservation for its full time again."""
        modality, period, reservation = self._find(tenant_id, reservation_id)
        again = amount_to_reserve(reservation, self._headroom(tenant_id, modality, period))
        self._book(tenant_id, modality, period, again, 0)
        renewed = replace(reservation, state=ReservationState.HELD, expires_at=self._clock.now() + ttl)
        self._reservations[reservation_id] = (tenant_id, modality, period, renewed)
        return renewed

    async def settle(self, tenant_id: str, reservation_id: str, charge: CallCharge) -> Reservation:
        """Books the true cost, up to the cap."""
        modality, period, reservation = self._find(tenant_id, reservation_id)
        cost = charge.cost_of(reservation)
        if nothing_to_book(reservation, cost):
            return reservation
        held = reservation.reserved_micro_usd if reservation.state is ReservationState.HELD else 0
        booked = bookable(cost, held, self._headroom(tenant_id, modality, period))
        return self._close(reservation_id, ReservationState.SETTLED, held, booked, cost)

    async def release(self, tenant_id: str, reservation_id: str) -> Reservation:
        """Gives a reservation back."""
        _, _, reservation = self._find(tenant_id, reservation_id)
        if reservation.state is not ReservationState.HELD:
            return reservation
        return self._close(reservation_id, ReservationState.RELEASED, reservation.reserved_micro_usd, 0)

    async def expire(self) -> int:
        """Frees what lapsed."""
        lapsed = [
            reservation
            for _, _, _, reservation in self._reservations.values()
            if reservation.state is ReservationState.HELD and reservation.expires_at <= self._clock.now()
        ]
        for reservation in lapsed:
            self._close(reservation.reservation_id, ReservationState.EXPIRED, reservation.reserved_micro_usd, 0)
        return len(lapsed)

    async def budgets(self, tenant_id: str) -> Sequence[Budget]:
        """Caps and spending of the current month."""
        scopes = sorted({OVERALL, *(scope for owner, scope in self._limits if owner == tenant_id)})
        return [self._budget(tenant_id, scope) for scope in scopes]

    def _budget(self, tenant_id: str, scope: str) -> Budget:
        period = period_of(self._clock.now())
        limit, subject = self._limits.get((tenant_id, scope), (self._default, ""))
        reserved, settled = self._account(tenant_id, scope, period)
        return Budget(scope, limit, reserved, settled, period, subject)

    async def set_budget(
        self, tenant_id: str, scope: str, limit_micro_usd: int, subject: str, key: RequestKey = NO_KEY
    ) -> Budget:
        """Sets a cap."""
        named = (tenant_id, key.request_id)
        if named in self._answers:
            digest, answer = self._answers[named]
            key.require_same(digest)
            return answer
        self._limits[(tenant_id, scope)] = (limit_micro_usd, subject)
        budget = self._budget(tenant_id, scope)
        if key.request_id:
            self._answers[named] = (key.digest, budget)
        return budget
