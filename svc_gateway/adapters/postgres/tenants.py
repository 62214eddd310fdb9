"""Tenants in Postgres, under row-level security."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

import asyncpg
from pydantic import TypeAdapter

from mesh.errors import Reason, SomaError
from mesh.events.audit import canonical
from mesh.stores.postgres import SYSTEM
from svc_gateway.adapters.postgres.repeated_requests import require_same_request
from svc_gateway.domain.keys import Tenant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from mesh.events.audit import Auditor
    from mesh.idempotency import RequestKey
    from mesh.stores.postgres import Postgres

_TENANT: TypeAdapter[Tenant] = TypeAdapter(Tenant)
_INSERT_TENANT = """
INSERT INTO tenants (tenant_id, display_name, plan, created_at, request_id, request_digest, permissions)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (request_id) DO NOTHING RETURNING tenant_id
"""
_GET_TENANT = "SELECT * FROM tenants WHERE tenant_id = $1"
_TENANT_OF_REQUEST = "SELECT * FROM tenants WHERE request_id = $1"
_LIST_TENANTS = "SELECT * FROM tenants WHERE tenant_id > $1 ORDER BY tenant_id LIMIT $2"
_LOCK_TENANT = "SELECT * FROM tenants WHERE tenant_id = $1 FOR UPDATE"
_UPDATE_TENANT = "UPDATE tenants SET display_name = $2, plan = $3, permissions = $4 WHERE tenant_id = $1"
_UPDATE_OF_REQUEST = "SELECT request_digest, answer FROM tenant_updates WHERE request_id = $1"
_INSERT_UPDATE = """
INSERT INTO tenant_updates (request_id, tenant_id, request_digest, answer, created_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (request_id) DO NOTHING RETURNING request_id
"""


class PostgresTenantStore:
    """Tenants of the whole platform."""

    def __init__(self, postgres: Postgres, auditor: Auditor) -> None:
        self._postgres = postgres
        self._auditor = auditor

    async def add(self, tenant: Tenant, request: RequestKey) -> Tenant | None:
        """Adds a tenant, or returns the one that the same request added."""
        # The id is in use: by another request, or by the same one running concurrently, whose row is visible later.
        with suppress(asyncpg.UniqueViolationError):
            async with self._postgres.transaction(SYSTEM) as connection:
                inserted = await connection.fetchval(
                    _INSERT_TENANT, tenant.tenant_id, tenant.display_name, tenant.plan, tenant.created_at,
                    request.request_id or None, request.digest, asdict(tenant.permissions),
                )  # fmt: skip
                if inserted is not None:
                    await self._audit(connection, None, tenant)
                    return None
        async with self._postgres.transaction(SYSTEM) as connection:
            row = await connection.fetchrow(_TENANT_OF_REQUEST, request.request_id)
        if row is None:
            raise SomaError(Reason.ALREADY_EXISTS, f"tenant {tenant.tenant_id!r} exists")
        return _TENANT.validate_python(require_same_request(row, request))

    async def update(
        self, tenant_id: str, change: Callable[[Tenant], Tenant], request: RequestKey, now: datetime
    ) -> Tenant | None:
        """Changes a tenant, or returns what the same request returned."""
        async with self._postgres.transaction(SYSTEM) as connection:
            row = await connection.fetchrow(_LOCK_TENANT, tenant_id)
            if row is None:
                return None
            before = _TENANT.validate_python(dict(row))
            after = change(before)
            if request.request_id:
                # The row lock serializes requests for one tenant; the conflict is with an earlier one, for any tenant.
                response = _TENANT.dump_python(after, mode="json")
                values = (request.request_id, tenant_id, request.digest, response, now)
                if await connection.fetchval(_INSERT_UPDATE, *values) is None:
                    earlier = await connection.fetchrow(_UPDATE_OF_REQUEST, request.request_id)
                    return _TENANT.validate_python(require_same_request(earlier, request)["answer"])
            if after != before:
                await connection.execute(
                    _UPDATE_TENANT, tenant_id, after.display_name, after.plan, asdict(after.permissions)
                )
                await self._audit(connection, before, after)
        return after

    async def _audit(self, connection: asyncpg.Connection, before: Tenant | None, after: Tenant) -> None:
        await self._auditor.record(
            connection,
            action="tenant.write",
            resource_type="tenant",
            resource_id=after.tenant_id,
            before=canonical(before) if before else None,
            after=canonical(after),
            tenant_id=after.tenant_id,
        )

    async def get(self, tenant_id: str) -> Tenant | None:
        """Returns one tenant."""
        async with self._postgres.transaction(tenant_id) as connection:
            row = await connection.fetchrow(_GET_TENANT, tenant_id)
        return None if row is None else _TENANT.validate_python(dict(row))

    async def list(self, after: str, limit: int) -> Sequence[Tenant]:
        """Returns tenants above an id, in order."""
        async with self._postgres.transaction(SYSTEM) as connection:
            rows = await connection.fetch(_LIST_TENANTS, after, limit)
        return [_TENANT.validate_python(dict(row)) for row in rows]
