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
from svc_selector.adapters.postgres.prices import prices_of, prices_row
from svc_selector.domain.budget import (
    OVERALL,
    Reservation,
    ReservationState,
    amount_to_reserve,
    bookable,
    nothing_to_book,
    period_of,
)
from svc_selector.domain.decision import BudgetReservation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from mesh.clock import Clock
    from mesh.events.audit import Auditor
    from mesh.ids import Ids
    from mesh.stores.postgres import Postgres
    from svc_selector.adapters.postgres.decisions import PostgresDecisions
    from svc_selector.domain.budget import Budget, CallCharge
    from svc_selector.domain.decision import Decision

LAPSED_AT_ONCE = 500
_FIRST_PLACE = (datetime.min.replace(tzinfo=UTC), UUID(int=0))
_log = get_logger(__name__)


class _Account(NamedTuple):
    tenant_id: str
    modality: str
    period: datetime


class PostgresLedger:
    """Budgets and reservations. Accounts are locked in the order of their scopes, so that two never deadlock."""

    def __init__(
        self,
        postgres: Postgres,
        decisions: PostgresDecisions,
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
        self._default = default_limit_micro_usd

    async def reserve(
        self, tenant_id: str, modality: str, amount_micro_usd: int, ttl: timedelta, decision: Decision | None
    ) -> BudgetReservation | None:
        """Holds an amount under every cap, the decision written with it."""
        now = self._clock.now()
        async with self._postgres.transaction(tenant_id) as connection:
            headroom = await self._lock(connection, tenant_id, modality, period_of(now))
            if min(headroom.values()) < amount_micro_usd:
                return None
            held = BudgetReservation(
                self._ids.new(), amount_micro_usd, min(headroom.values()) - amount_micro_usd, now + ttl
            )
            account = _Account(tenant_id, modality, period_of(now))
            await self._book(connection, account, reserved=amount_micro_usd, settled=0)
            prices = prices_row(decision.chosen.prices) if decision and decision.chosen else None
            await connection.execute(_HOLD, held.reservation_id, *account, amount_micro_usd, held.expires_at, prices)
            if decision is not None:
                await self._decisions.write(connection, [replace(decision, reservation=held)])
        return held

    async def _lock(
        self, connection: asyncpg.Connection, tenant_id: str, modality: str, period: datetime
    ) -> Mapping[str, int]:
        """Locks the accounts and answers what each cap has left."""
        scopes = [OVERALL, modality]
        await connection.execute(_OPEN, tenant_id, scopes, period)
        rows = await connection.fetch(_LOCK, tenant_id, scopes, period)
        left = {}
        for row in rows:
            limit = row["limit_micro_usd"]
            if limit is None and row["scope"] == OVERALL:
                limit = self._default
            if limit is not None:
                left[row["scope"]] = limit - row["reserved_micro_usd"] - row["settled_micro_usd"]
        return left

    @staticmethod
    async def _book(connection: asyncpg.Connection, account: _Account, *, reserved: int, settled: int) -> None:
        scopes = [OVERALL, account.modality]
        await connection.execute(_BOOK, account.tenant_id, scopes, account.period, reserved, settled)

    async def renew(self, tenant_id: str, reservation_id: str, ttl: timedelta) -> Reservation:
        """Holds a reservation for its full time again."""
        async with self._postgres.transaction(tenant_id) as connection:
            row, headroom = await self._locked(connection, tenant_id, reservation_id)
            again = amount_to_reserve(_reservation(row), min(headroom.values()))
            if again:
                await self._book(connection, _account(row), reserved=again, settled=0)
            return _reservation(await connection.fetchrow(_RENEW, reservation_id, self._clock.now() + ttl))

    async def settle(self, tenant_id: str, reservation_id: str, charge: CallCharge) -> Reservation:
        """Books the true cost, up to the cap."""
        async with self._postgres.transaction(tenant_id) as connection:
            row, headroom = await self._locked(connection, tenant_id, reservation_id)
            cost = charge.cost_of(_reservation(row))
            if nothing_to_book(_reservation(row), cost):
                return _reservation(row)
            held = row["reserved_micro_usd"] if row["state"] == ReservationState.HELD else 0
            booked = bookable(cost, held, min(headroom.values()))
            await self._book(connection, _account(row), reserved=-held, settled=booked)
            return _reservation(await connection.fetchrow(_SETTLE, reservation_id, booked, cost))

    async def release(self, tenant_id: str, reservation_id: str) -> Reservation:
        """Gives a reservation back."""
        async with self._postgres.transaction(tenant_id) as connection:
            row, _ = await self._locked(connection, tenant_id, reservation_id)
            if row["state"] != ReservationState.HELD:
                return _reservation(row)
            await self._book(connection, _account(row), reserved=-row["reserved_micro_usd"], settled=0)
            return _reservation(await connection.fetchrow(_CLOSE, reservation_id, ReservationState.RELEASED, 0))

    async def _locked(
        self, connection: asyncpg.Connection, tenant_id: str, reservation_id: str
    ) -> tuple[asyncpg.Record, Mapping[str, int]]:
        """Locks accounts before the reservation, the order that reserving has too."""
        found = await connection.fetchrow(_FIND, reservation_id)
        if found is None:
            raise not_found("reservation", reservation_id)
        headroom = await self._lock(connection, tenant_id, found["modality"], found["period_start"])
        return await connection.fetchrow(f"{_FIND} FOR UPDATE", reservation_id), headroom

    async def expire(self) -> int:
        """Frees what lapsed; reservations that cannot be freed now hold up no other. Gives how many were freed."""
        freed, now = 0, self._clock.now()
        rows = await self._lapsed(now, _FIRST_PLACE)
        while rows:
            for row in rows:
                freed += await self._try_to_expire(row["tenant_id"], str(row["reservation_id"]))
            rows = await self._lapsed(now, (rows[-1]["expires_at"], rows[-1]["reservation_id"]))
        return freed

    async def _lapsed(self, now: datetime, after: tuple[datetime, UUID]) -> list[asyncpg.Record]:
        """Those that lapsed before `now`, behind the place `after`, as many as are worked on at a time."""
        async with self._postgres.transaction(SYSTEM) as connection:
            rows: list[asyncpg.Record] = await connection.fetch(_LAPSED, now, *after, LAPSED_AT_ONCE)
        return rows

    async def _try_to_expire(self, tenant_id: str, reservation_id: str) -> bool:
        try:
            await self._expire_one(tenant_id, reservation_id)
        except (SomaError, asyncpg.PostgresError) as error:
            about = {"tenant_id": tenant_id, "reservation_id": reservation_id}
            _log.error("a reservation that lapsed cannot be freed", **about, error=type(error).__name__)
            return False
        return True

    async def _expire_one(self, tenant_id: str, reservation_id: str) -> None:
        """Frees a reservation unless it was renewed meanwhile; not as its tenant, whose calls may wait in hundreds."""
        async with self._postgres.transaction(SYSTEM) as connection:
            row, _ = await self._locked(connection, tenant_id, reservation_id)
            if row["state"] == ReservationState.HELD and row["expires_at"] <= self._clock.now():
                await self._book(connection, _account(row), reserved=-row["reserved_micro_usd"], settled=0)
                await connection.fetchrow(_CLOSE, reservation_id, ReservationState.EXPIRED, 0)

    async def budgets(self, tenant_id: str) -> Sequence[Budget]:
        """Caps and spending of the current month."""
        return await self._budgets.list(tenant_id)

    async def set_budget(
        self, tenant_id: str, scope: str, limit_micro_usd: int, subject: str, key: RequestKey = NO_KEY
    ) -> Budget:
        """Sets a cap."""
        return await self._budgets.set(Cap(tenant_id, scope, limit_micro_usd, subject), key)


_OPEN = """
INSERT INTO budget_accounts (tenant_id, scope, period_start)
SELECT $1, scope, $3 FROM unnest($2::text[]) AS scope
ON CONFLICT DO NOTHING
"""
_LOCK = """
SELECT a.scope, a.reserved_micro_usd, a.settled_micro_usd,
       (SELECT limit_micro_usd FROM budgets b WHERE b.tenant_id = a.tenant_id AND b.scope = a.scope)
FROM budget_accounts a
WHERE a.tenant_id = $1 AND a.scope = ANY($2::text[]) AND a.period_start = $3
ORDER BY a.scope FOR UPDATE OF a
"""
_BOOK = """
UPDATE budget_accounts
SET reserved_micro_usd = reserved_micro_usd + $4, settled_micro_usd = settled_micro_usd + $5
WHERE tenant_id = $1 AND scope = ANY($2::text[]) AND period_start = $3
"""
_HOLD = """
INSERT INTO reservations (
    reservation_id, tenant_id, modality, period_start, state, reserved_micro_usd, expires_at, prices
)
VALUES ($1, $2, $3, $4, 'held', $5, $6, $7)
"""
_FIND = "SELECT * FROM reservations WHERE reservation_id = $1"
_RENEW = "UPDATE reservations SET state = 'held', expires_at = $2 WHERE reservation_id = $1 RETURNING *"
_SETTLE = """
UPDATE reservations SET state = 'settled', settled_micro_usd = $2, cost_micro_usd = $3
WHERE reservation_id = $1 RETURNING *
"""
_CLOSE = "UPDATE reservations SET state = $2, settled_micro_usd = $3 WHERE reservation_id = $1 RETURNING *"
_LAPSED = """
SELECT tenant_id, reservation_id, expires_at FROM reservations
WHERE state = 'held' AND expires_at <= $1 AND (expires_at, reservation_id) > ($2, $3)
ORDER BY expires_at, reservation_id LIMIT $4
"""


def _account(row: asyncpg.Record) -> _Account:
    return _Account(row["tenant_id"], row["modality"], row["period_start"])


def _reservation(row: asyncpg.Record) -> Reservation:
    return Reservation(
        str(row["reservation_id"]),
        ReservationState(row["state"]),
        row["reserved_micro_usd"],
        row["settled_micro_usd"],
        row["expires_at"],
        # One that a version before settled has its booked amount alone.
        row["settled_micro_usd"] if row["cost_micro_usd"] is None else row["cost_micro_usd"],
        prices_of(row["prices"]) if row["prices"] is not None else None,
    )
