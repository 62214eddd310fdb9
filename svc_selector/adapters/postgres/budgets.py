"""Caps, and answers to requests that set one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mesh.events.audit import canonical
from svc_selector.domain.budget import Budget, month_start

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from mesh.clock import Clock
    from mesh.events.audit import Auditor
    from mesh.idempotency import RequestKey
    from mesh.ids import Ids
    from mesh.stores.postgres import Postgres


@dataclass(frozen=True)
class Cap:
    """A cap to set."""

    tenant_id: str
    scope: str
    limit_micro_usd: int
    subject: str


class _ConcurrentRequestError(Exception):
    """A concurrent call with the same request id was committed first."""


class PostgresBudgets:
    """Caps of tenants."""

    def __init__(
        self, postgres: Postgres, auditor: Auditor, clock: Clock, ids: Ids, default_limit_micro_usd: int
    ) -> None:
        self._postgres = postgres
        self._auditor = auditor
        self._clock = clock
        self._ids = ids
        self._default = default_limit_micro_usd

    async def list(self, tenant_id: str) -> Sequence[Budget]:
        """Returns caps and spending of the current month."""
        async with self._postgres.transaction(tenant_id) as connection:
            return await self._read(connection, tenant_id)

    async def set(self, cap: Cap, key: RequestKey) -> Budget:
        """Sets a cap, once for each key."""
        try:
            async with self._postgres.transaction(cap.tenant_id) as connection:
                stored = await self._stored_answer(connection, cap.tenant_id, key)
                return stored or await self._set(connection, cap, key)
        except _ConcurrentRequestError:
            return await self.set(cap, key)

    async def _set(self, connection: asyncpg.Connection, cap: Cap, key: RequestKey) -> Budget:
        before = await connection.fetchrow(_LOCK_CAP, cap.tenant_id, cap.scope)
        after = await connection.fetchrow(_UPSERT_CAP, cap.tenant_id, cap.scope, cap.limit_micro_usd, cap.subject)
        await self._auditor.record(
            connection,
            action="budget.write",
            resource_type="budget",
            resource_id=cap.scope or "overall",
            before=canonical(dict(before)) if before else None,
            after=canonical(dict(after)),
            tenant_id=cap.tenant_id,
        )
        budgets = await self._read(connection, cap.tenant_id)
        budget = next(budget for budget in budgets if budget.scope == cap.scope)
        if key.request_id:
            digest = bytes.fromhex(key.digest)
            answer = (self._ids.new(), cap.tenant_id, key.request_id, digest, *asdict(budget).values())
            if await connection.fetchval(_INSERT_ANSWER, *answer) is None:
                raise _ConcurrentRequestError
        return budget

    async def _read(self, connection: asyncpg.Connection, tenant_id: str) -> Sequence[Budget]:
        rows = await connection.fetch(_LIST_BUDGETS, tenant_id, month_start(self._clock.now()), self._default)
        return [Budget(**dict(row)) for row in rows]

    @staticmethod
    async def _stored_answer(connection: asyncpg.Connection, tenant_id: str, key: RequestKey) -> Budget | None:
        row = await connection.fetchrow(_GET_ANSWER, tenant_id, key.request_id) if key.request_id else None
        if row is None:
            return None
        digest, *fields = row
        key.require_same(digest.hex())
        return Budget(*fields)


_LIST_BUDGETS = """
SELECT s.scope,
       coalesce(b.limit_micro_usd, $3) AS limit_micro_usd,
       coalesce(a.reserved_micro_usd, 0) AS reserved_micro_usd,
       coalesce(a.settled_micro_usd, 0) AS settled_micro_usd,
       $2::timestamptz AS period_start,
       coalesce(b.updated_by, '') AS updated_by
FROM (SELECT '' AS scope UNION SELECT scope FROM budgets WHERE tenant_id = $1) s
LEFT JOIN budgets b ON b.tenant_id = $1 AND b.scope = s.scope
LEFT JOIN budget_accounts a ON a.tenant_id = $1 AND a.scope = s.scope AND a.period_start = $2
ORDER BY s.scope
"""
_LOCK_CAP = "SELECT * FROM budgets WHERE tenant_id = $1 AND scope = $2 FOR UPDATE"
_UPSERT_CAP = """
INSERT INTO budgets (tenant_id, scope, limit_micro_usd, updated_by) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, scope) DO UPDATE
SET limit_micro_usd = excluded.limit_micro_usd, updated_by = excluded.updated_by
RETURNING *
"""
_GET_ANSWER = """
SELECT request_digest, scope, limit_micro_usd, reserved_micro_usd, settled_micro_usd, period_start, updated_by
FROM budget_requests WHERE tenant_id = $1 AND request_id = $2
"""
_INSERT_ANSWER = """
INSERT INTO budget_requests (
    id, tenant_id, request_id, request_digest,
    scope, limit_micro_usd, reserved_micro_usd, settled_micro_usd, period_start, updated_by
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT DO NOTHING
RETURNING id
"""
