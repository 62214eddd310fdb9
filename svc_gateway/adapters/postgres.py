"""Keys and tenants in Postgres, under row-level security."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg
from pydantic import TypeAdapter

from mesh.errors import Reason, SomaError
from mesh.events.audit import canonical
from mesh.stores.postgres import SYSTEM
from svc_gateway.domain.keys import (
    CREATED_WITHIN,
    KEY_LIFETIME,
    MAX_CREATED_KEYS,
    MAX_SCANNED_KEYS,
    ApiKey,
    CreatedKey,
    KeyPage,
    Revocation,
    Tenant,
    page_of,
    too_many_keys,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from datetime import datetime

    from mesh.events.audit import Auditor
    from mesh.idempotency import RequestKey
    from mesh.stores.postgres import Postgres

CHANNEL = "gateway_revocations"
CREATED_CHANNEL = "gateway_api_keys"
_FIRST_KEY_LOCK = "SELECT pg_advisory_xact_lock(hashtext('soma.first_key'))"
_KEY: TypeAdapter[ApiKey] = TypeAdapter(ApiKey)
_REVOCATION: TypeAdapter[Revocation] = TypeAdapter(Revocation)
_CREATED_KEY: TypeAdapter[CreatedKey] = TypeAdapter(CreatedKey)
_TENANT: TypeAdapter[Tenant] = TypeAdapter(Tenant)

_INSERT_KEY = """
INSERT INTO api_keys (key_id, tenant_id, display_name, subject, roles, created_at, expires_at, created_by,
                      request_id, request_digest, personas, capsules)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (tenant_id, request_id) DO NOTHING RETURNING key_id
"""
_OVER_MOST = """
SELECT true FROM (SELECT created_at FROM api_keys WHERE tenant_id = $1 ORDER BY key_id DESC OFFSET $2 LIMIT 1) AS before
WHERE created_at > $3
"""
_KEY_OF_REQUEST = "SELECT * FROM api_keys WHERE tenant_id = $1 AND request_id = $2"
_LIST_KEYS = "SELECT * FROM api_keys WHERE tenant_id = $1 AND key_id < $2 ORDER BY key_id DESC LIMIT $3"
_CLOCK_DIFFERENCE = timedelta(days=1)
"""More than the clocks of two gateways may differ."""
_AFTER_ALL = "~"
"""Sorts after every key id."""
_GET_KEY = "SELECT * FROM api_keys WHERE tenant_id = $1 AND key_id = $2"
_LOCK_KEY = "SELECT * FROM api_keys WHERE tenant_id = $1 AND key_id = $2 FOR UPDATE"
_REVOKE = "UPDATE api_keys SET revoked_at = $3 WHERE tenant_id = $1 AND key_id = $2"
_REVOKED = "SELECT key_id, expires_at FROM api_keys WHERE revoked_at >= $1"
_CREATED = """
SELECT key_id, tenant_id, created_at, expires_at FROM api_keys WHERE (created_at, key_id) > ($1, $2)
ORDER BY created_at, key_id LIMIT $3
"""
_NOTIFY = "SELECT pg_notify($1, $2)"
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


@asynccontextmanager
async def first_key_lock(postgres: Postgres) -> AsyncIterator[None]:
    """Entered by one process at a time; the others wait, or fail as the database's statements do."""
    async with postgres.transaction(SYSTEM) as connection:
        await connection.execute(_FIRST_KEY_LOCK)
        yield


class PostgresKeys:
    """API keys of all processes of the gateway; NOTIFY tells of new ones and of revocations, after their commit."""

    def __init__(self, postgres: Postgres, auditor: Auditor, max_created_keys: int = MAX_CREATED_KEYS) -> None:
        self._postgres = postgres
        self._auditor = auditor
        self._max_created_keys = max_created_keys

    async def add(self, key: ApiKey, request: RequestKey) -> ApiKey | None:
        """Keep a new key, or give the one that the same request made."""
        async with self._postgres.transaction(key.tenant_id) as connection:
            made = await connection.fetchval(
                _INSERT_KEY, key.key_id, key.tenant_id, key.display_name, key.subject, list(key.roles),
                key.created_at, key.expires_at, key.created_by, request.request_id or None, request.digest,
                list(key.personas), list(key.capsules),
            )  # fmt: skip
            if made is not None:
                since = key.created_at - CREATED_WITHIN
                if await connection.fetchval(_OVER_MOST, key.tenant_id, self._max_created_keys, since):
                    raise too_many_keys(self._max_created_keys)
                await self._audit(connection, None, key)
                await connection.execute(_NOTIFY, CREATED_CHANNEL, key.key_id)
                return None
            row = await connection.fetchrow(_KEY_OF_REQUEST, key.tenant_id, request.request_id)
        return _KEY.validate_python(_same_request(row, request))

    async def made(self, tenant_id: str, request: RequestKey) -> ApiKey | None:
        """The key that the same request made."""
        if not request.request_id:
            return None
        async with self._postgres.transaction(tenant_id) as connection:
            row = await connection.fetchrow(_KEY_OF_REQUEST, tenant_id, request.request_id)
        return None if row is None else _KEY.validate_python(_same_request(row, request))

    async def get(self, tenant_id: str, key_id: str) -> ApiKey | None:
        """One key of a tenant."""
        async with self._postgres.transaction(tenant_id) as connection:
            row = await connection.fetchrow(_GET_KEY, tenant_id, key_id)
        return _key(row)

    async def list(self, tenant_id: str, active_at: datetime | None, before: str, limit: int) -> KeyPage:
        """Keys below an id, newest first."""
        looked_at = limit if active_at is None else max(limit, MAX_SCANNED_KEYS)
        async with self._postgres.transaction(tenant_id) as connection:
            for rows in (limit + 1, looked_at + 1):  # mostly the first keys are the page
                found = await connection.fetch(_LIST_KEYS, tenant_id, before or _AFTER_ALL, rows)
                keys = [_KEY.validate_python(dict(row)) for row in found]
                page = page_of(keys, active_at, limit, looked_at)
                if page.end or len(found) < rows:
                    break
        return page

    async def revoke(self, tenant_id: str, key_id: str, now: datetime) -> ApiKey | None:
        """Revoke a key and say so."""
        async with self._postgres.transaction(tenant_id) as connection:
            before = _key(await connection.fetchrow(_LOCK_KEY, tenant_id, key_id))
            if before is None:
                return None
            after = before.revoked(now)
            if after is not before:
                await connection.execute(_REVOKE, tenant_id, key_id, now)
                await self._audit(connection, before, after)
                await connection.execute(_NOTIFY, CHANNEL, key_id)
        return after

    async def _audit(self, connection: asyncpg.Connection, before: ApiKey | None, after: ApiKey) -> None:
        await self._auditor.record(
            connection,
            action="api_key.write",
            resource_type="api_key",
            resource_id=after.key_id,
            before=canonical(before) if before else None,
            after=canonical(after),
            tenant_id=after.tenant_id,
        )

    async def revocations(self, now: datetime, since: datetime | None = None) -> Sequence[Revocation]:
        """Revoked keys of all tenants that have not expired: none was revoked longer than KEY_LIFETIME ago."""
        async with self._postgres.transaction(SYSTEM) as connection:
            rows = await connection.fetch(_REVOKED, since or now - KEY_LIFETIME - _CLOCK_DIFFERENCE)
        return [_REVOCATION.validate_python(dict(row)) for row in rows if row["expires_at"] > now]

    @asynccontextmanager
    async def listen(self, changed: Callable[[], None]) -> AsyncIterator[None]:
        """Call back after every revocation, and after each reconnection."""
        async with self._postgres.listen(CHANNEL, lambda _key_id: changed()):
            yield

    async def created(self, since: datetime, after: str, limit: int) -> Sequence[CreatedKey]:
        """Keys of all tenants in the order of their creation."""
        async with self._postgres.transaction(SYSTEM) as connection:
            rows = await connection.fetch(_CREATED, since, after, limit)
        return [_CREATED_KEY.validate_python(dict(row)) for row in rows]

    @asynccontextmanager
    async def listen_created(self, created: Callable[[], None]) -> AsyncIterator[None]:
        """Call back after every new key, and after each reconnection."""
        async with self._postgres.listen(CREATED_CHANNEL, lambda _key_id: created()):
            yield


class PostgresTenants:
    """Tenants of the whole platform."""

    def __init__(self, postgres: Postgres, auditor: Auditor) -> None:
        self._postgres = postgres
        self._auditor = auditor

    async def add(self, tenant: Tenant, request: RequestKey) -> Tenant | None:
        """Keep a new tenant, or give the one that the same request made."""
        # Taken by another request; or by the same one at the same moment, whose row can be seen only afterwards.
        with suppress(asyncpg.UniqueViolationError):
            async with self._postgres.transaction(SYSTEM) as connection:
                made = await connection.fetchval(
                    _INSERT_TENANT, tenant.tenant_id, tenant.display_name, tenant.plan, tenant.created_at,
                    request.request_id or None, request.digest, asdict(tenant.permissions),
                )  # fmt: skip
                if made is not None:
                    await self._audit(connection, None, tenant)
                    return None
        async with self._postgres.transaction(SYSTEM) as connection:
            row = await connection.fetchrow(_TENANT_OF_REQUEST, request.request_id)
        if row is None:
            raise SomaError(Reason.ALREADY_EXISTS, f"tenant {tenant.tenant_id!r} exists")
        return _TENANT.validate_python(_same_request(row, request))

    async def update(
        self, tenant_id: str, change: Callable[[Tenant], Tenant], request: RequestKey, now: datetime
    ) -> Tenant | None:
        """Change a tenant, or give the answer that the same request got."""
        async with self._postgres.transaction(SYSTEM) as connection:
            row = await connection.fetchrow(_LOCK_TENANT, tenant_id)
            if row is None:
                return None
            before = _TENANT.validate_python(dict(row))
            after = change(before)
            if request.request_id:
                # The row's lock orders the requests of one tenant; the conflict is with an earlier one, of any tenant.
                document = _TENANT.dump_python(after, mode="json")
                values = (request.request_id, tenant_id, request.digest, document, now)
                if await connection.fetchval(_INSERT_UPDATE, *values) is None:
                    earlier = await connection.fetchrow(_UPDATE_OF_REQUEST, request.request_id)
                    return _TENANT.validate_python(_same_request(earlier, request)["answer"])
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
        """One tenant."""
        async with self._postgres.transaction(tenant_id) as connection:
            row = await connection.fetchrow(_GET_TENANT, tenant_id)
        return None if row is None else _TENANT.validate_python(dict(row))

    async def list(self, after: str, limit: int) -> Sequence[Tenant]:
        """Tenants above an id, in order."""
        async with self._postgres.transaction(SYSTEM) as connection:
            rows = await connection.fetch(_LIST_TENANTS, after, limit)
        return [_TENANT.validate_python(dict(row)) for row in rows]


def _key(row: Mapping[str, object] | None) -> ApiKey | None:
    return None if row is None else _KEY.validate_python(dict(row))


def _same_request(row: Mapping[str, object], request: RequestKey) -> dict[str, object]:
    """The row that the request made before; IDEMPOTENCY_MISMATCH when another one made it."""
    request.require_same(str(row["request_digest"]))
    return dict(row)
