"""Budgets and reservations in Postgres."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import asyncpg

from mesh.errors import SomaError, not_found
from mesh.idempotency import NO_KEY, RequestKey
from mesh.logging import get_logger
from mesh.stores.postgres import SYSTEM
from svc_selector.adapters.postgres.budgets import Cap, PostgresBudgets
from svc_selector.adapters.postgres.prices import prices_from_row, prices_to_row
from svc_selector.domain.budget import (
    OVERALL,
    Reservation,
    ReservationState,
    amount_to_book,
    amount_to_reserve,
    month_start,
    needs_no_booking,
    scopes_of,
)
from svc_selector.domain.decision import BudgetReservation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from mesh.clock import Clock
    from mesh.events.audit import Auditor
    from mesh.ids import Ids
    from mesh.stores.postgres import Postgres
    from svc_selector.adapters.postgres.decisions import PostgresDecisionStore
    from svc_selector.domain.budget import Budget, CallCharge
    from svc_selector.domain.decision import Decision

EXPIRE_BATCH_SIZE = 500
_START = (datetime.min.replace(tzinfo=UTC), UUID(int=0))
_log = get_logger(__name__)


class _Account(NamedTuple):
    tenant_id: str
    modality: str
    period: datetime


class PostgresLedger:
    """Budgets and reservations. Accounts are locked in the order of their scopes, to avoid deadlocks."""

    def __init__(
        self,
        postgres: Postgres,
        decisions: PostgresDecisionStore,
        auditor: Auditor,
        *,
        clock: Clock,
        ids: Ids,
        default_limit_micro_usd: int,
    ) -> None:
        self._postgres = postgres
        self._decisions = decisions
        self._budgets = PostgresBudgets(postgres, auditor, clock, ids, default_limit_micro_usd)
        self._clock = clock
        self._ids = ids
        self._default_limit = default_limit_micro_usd

    async def reserve(
        self, tenant_id: str, modality: str, amount_micro_usd: int, ttl: timedelta, decision: Decision | None
    ) -> BudgetReservation | None:
        """Reserves an amount under every cap, and records the decision."""
        now = self._clock.now()
        async with self._postgres.transaction(tenant_id) as connection:
            headroom = await self._lock_accounts(connection, tenant_id, modality, month_start(now))
            if min(headroom.values()) < amount_micro_usd:
                return None
            reservation = BudgetReservation(
                self._ids.new(), amount_micro_usd, min(headroom.values()) - amount_micro_usd, now + ttl
            )
            account = _Account(tenant_id, modality, month_start(now))
            await self._book(connection, account, reserved=amount_micro_usd, settled=0)
            prices = prices_to_row(decision.chosen.prices) if decision and decision.chosen else None
            await connection.execute(
                _INSERT_RESERVATION,
                reservation.reservation_id,
                *account,
                amount_micro_usd,
                reservation.expires_at,
                prices,
            )
            if decision is not None:
                await self._decisions.write(connection, [replace(decision, reservation=reservation)])
        return reservation

    async def _lock_accounts(
        self, connection: asyncpg.Connection, tenant_id: str, modality: str, period: datetime
    ) -> Mapping[str, int]:
        """Locks the accounts, and returns what each cap has left by scope."""
        scopes = scopes_of(modality)
        await connection.execute(_INSERT_ACCOUNTS, tenant_id, scopes, period)
        rows = await connection.fetch(_LOCK_ACCOUNTS, tenant_id, scopes, period)
        headroom = {}
        for row in rows:
            limit = row["limit_micro_usd"]
            if limit is None and row["scope"] == OVERALL:
                limit = self._default_limit
            if limit is not None:
                headroom[row["scope"]] = limit - row["reserved_micro_usd"] - row["settled_micro_usd"]
        return headroom

    @staticmethod
    async def _book(connection: asyncpg.Connection, account: _Account, *, reserved: int, settled: int) -> None:
        scopes = scopes_of(account.modality)
        await connection.execute(_UPDATE_ACCOUNTS, account.tenant_id, scopes, account.period, reserved, settled)

    async def renew(self, tenant_id: str, reservation_id: str, ttl: timedelta) -> Reservation:
        """Extends a reservation, or reserves again if it expired."""
        async with self._postgres.transaction(tenant_id) as connection:
            row, headroom = await self._lock_reservation(connection, tenant_id, reservation_id)
            amount = amount_to_reserve(_reservation_from_row(row), min(headroom.values()))
            if amount:
                await self._book(connection, _account_from_row(row), reserved=amount, settled=0)
            return _reservation_from_row(await connection.fetchrow(_RENEW, reservation_id, self._clock.now() + ttl))

    async def settle(self, tenant_id: str, reservation_id: str, charge: CallCharge) -> Reservation:
        """Books the actual cost, up to the cap."""
        async with self._postgres.transaction(tenant_id) as connection:
            row, headroom = await self._lock_reservation(connection, tenant_id, reservation_id)
            cost = charge.cost_of(_reservation_from_row(row))
            if needs_no_booking(_reservation_from_row(row), cost):
                return _reservation_from_row(row)
            reserved = row["reserved_micro_usd"] if row["state"] == ReservationState.HELD else 0
            booked = amount_to_book(cost, reserved, min(headroom.values()))
            await self._book(connection, _account_from_row(row), reserved=-reserved, settled=booked)
            return _reservation_from_row(await connection.fetchrow(_SETTLE, reservation_id, booked, cost))

    async def release(self, tenant_id: str, reservation_id: str) -> Reservation:
        """Releases a reservation."""
        async with self._postgres.transaction(tenant_id) as connection:
            row, _ = await self._lock_reservation(connection, tenant_id, reservation_id)
            if row["state"] != ReservationState.HELD:
                return _reservation_from_row(row)
            await self._book(connection, _account_from_row(row), reserved=-row["reserved_micro_usd"], settled=0)
            return _reservation_from_row(
                await connection.fetchrow(_CLOSE, reservation_id, ReservationState.RELEASED, 0)
            )

    async def _lock_reservation(
        self, connection: asyncpg.Connection, tenant_id: str, reservation_id: str
    ) -> tuple[asyncpg.Record, Mapping[str, int]]:
        """Locks accounts before the reservation, in the same order as `reserve`."""
        unlocked = await connection.fetchrow(_GET_RESERVATION, reservation_id)
        if unlocked is None:
            raise not_found("reservation", reservation_id)
        headroom = await self._lock_accounts(connection, tenant_id, unlocked["modality"], unlocked["period_start"])
        return await connection.fetchrow(f"{_GET_RESERVATION} FOR UPDATE", reservation_id), headroom

    async def expire_reservations(self) -> int:
        """Expires reservations, one by one, so that one that fails blocks no other; returns how many were expired."""
        freed, now = 0, self._clock.now()
        rows = await self._list_expired(now, _START)
        while rows:
            for row in rows:
                freed += await self._try_to_expire(row["tenant_id"], str(row["reservation_id"]))
            rows = await self._list_expired(now, (rows[-1]["expires_at"], rows[-1]["reservation_id"]))
        return freed

    async def _list_expired(self, now: datetime, after: tuple[datetime, UUID]) -> list[asyncpg.Record]:
        """Returns a batch of reservations that expired before `now`, after the given expiration and id."""
        async with self._postgres.transaction(SYSTEM) as connection:
            rows: list[asyncpg.Record] = await connection.fetch(_LIST_EXPIRED, now, *after, EXPIRE_BATCH_SIZE)
        return rows

    async def _try_to_expire(self, tenant_id: str, reservation_id: str) -> bool:
        try:
            await self._expire_one(tenant_id, reservation_id)
        except (SomaError, asyncpg.PostgresError) as error:
            labels = {"tenant_id": tenant_id, "reservation_id": reservation_id}
            _log.error("an expired reservation cannot be freed", **labels, error=type(error).__name__)
            return False
        return True

    async def _expire_one(self, tenant_id: str, reservation_id: str) -> None:
        """Expires a reservation unless it was renewed meanwhile.

        Uses the connections of the system: hundreds of calls may wait for those of the tenant.
        """
        async with self._postgres.transaction(SYSTEM) as connection:
            row, _ = await self._lock_reservation(connection, tenant_id, reservation_id)
            if row["state"] == ReservationState.HELD and row["expires_at"] <= self._clock.now():
                await self._book(connection, _account_from_row(row), reserved=-row["reserved_micro_usd"], settled=0)
                await connection.fetchrow(_CLOSE, reservation_id, ReservationState.EXPIRED, 0)

    async def list_budgets(self, tenant_id: str) -> Sequence[Budget]:
        """Returns caps and spending of the current month."""
        return await self._budgets.list(tenant_id)

    async def set_budget(
        self, tenant_id: str, scope: str, limit_micro_usd: int, subject: str, key: RequestKey = NO_KEY
    ) -> Budget:
        """Sets a cap."""
        return await self._budgets.set(Cap(tenant_id, scope, limit_micro_usd, subject), key)


_INSERT_ACCOUNTS = """
INSERT INTO budget_accounts (tenant_id, scope, period_start)
SELECT $1, scope, $3 FROM unnest($2::text[]) AS scope
ON CONFLICT DO NOTHING
"""
_LOCK_ACCOUNTS = """
SELECT a.scope, a.reserved_micro_usd, a.settled_micro_usd,
       (SELECT limit_micro_usd FROM budgets b WHERE b.tenant_id = a.tenant_id AND b.scope = a.scope)
FROM budget_accounts a
WHERE a.tenant_id = $1 AND a.scope = ANY($2::text[]) AND a.period_start = $3
ORDER BY a.scope FOR UPDATE OF a
"""
_UPDATE_ACCOUNTS = """
UPDATE budget_accounts
SET reserved_micro_usd = reserved_micro_usd + $4, settled_micro_usd = settled_micro_usd + $5
WHERE tenant_id = $1 AND scope = ANY($2::text[]) AND period_start = $3
"""
_INSERT_RESERVATION = """
INSERT INTO reservations (
    reservation_id, tenant_id, modality, period_start, state, reserved_micro_usd, expires_at, prices
)
VALUES ($1, $2, $3, $4, 'held', $5, $6, $7)
"""
_GET_RESERVATION = "SELECT * FROM reservations WHERE reservation_id = $1"
_RENEW = "UPDATE reservations SET state = 'held', expires_at = $2 WHERE reservation_id = $1 RETURNING *"
_SETTLE = """
UPDATE reservations SET state = 'settled', settled_micro_usd = $2, cost_micro_usd = $3
WHERE reservation_id = $1 RETURNING *
"""
_CLOSE = "UPDATE reservations SET state = $2, settled_micro_usd = $3 WHERE reservation_id = $1 RETURNING *"
_LIST_EXPIRED = """
SELECT tenant_id, reservation_id, expires_at FROM reservations
WHERE state = 'held' AND expires_at <= $1 AND (expires_at, reservation_id) > ($2, $3)
ORDER BY expires_at, reservation_id LIMIT $4
"""


def _account_from_row(row: asyncpg.Record) -> _Account:
    return _Account(row["tenant_id"], row["modality"], row["period_start"])


def _reservation_from_row(row: asyncpg.Record) -> Reservation:
    return Reservation(
        str(row["reservation_id"]),
        ReservationState(row["state"]),
        row["reserved_micro_usd"],
        row["settled_micro_usd"],
        row["expires_at"],
        # Rows that an older version settled have the booked amount alone.
        row["settled_micro_usd"] if row["cost_micro_usd"] is None else row["cost_micro_usd"],
        prices_from_row(row["prices"]) if row["prices"] is not None else None,
    )
