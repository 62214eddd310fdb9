"""API keys in Postgres, under row-level security."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from mesh.events.audit import canonical
from mesh.stores.postgres import SYSTEM
from svc_gateway.adapters.postgres.repeated_requests import require_same_request
from svc_gateway.domain.keys import (
    CREATED_KEYS_WINDOW,
    KEY_LIFETIME,
    MAX_CREATED_KEYS,
    MAX_SCANNED_KEYS,
    ApiKey,
    CreatedKey,
    KeyPage,
    Revocation,
    page_of_keys,
    too_many_keys,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from datetime import datetime

    import asyncpg

    from mesh.events.audit import Auditor
    from mesh.idempotency import RequestKey
    from mesh.stores.postgres import Postgres

REVOKED_CHANNEL = "gateway_revocations"
CREATED_CHANNEL = "gateway_api_keys"
_KEY: TypeAdapter[ApiKey] = TypeAdapter(ApiKey)
_REVOCATION: TypeAdapter[Revocation] = TypeAdapter(Revocation)
_CREATED_KEY: TypeAdapter[CreatedKey] = TypeAdapter(CreatedKey)

_INSERT_KEY = """
INSERT INTO api_keys (key_id, tenant_id, display_name, subject, roles, created_at, expires_at, created_by,
                      request_id, request_digest, personas, capsules)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (tenant_id, request_id) DO NOTHING RETURNING key_id
"""
_OVER_LIMIT = """
SELECT true FROM (SELECT created_at FROM api_keys WHERE tenant_id = $1 ORDER BY key_id DESC OFFSET $2 LIMIT 1) AS oldest
WHERE created_at > $3
"""
_KEY_OF_REQUEST = "SELECT * FROM api_keys WHERE tenant_id = $1 AND request_id = $2"
_LIST_KEYS = "SELECT * FROM api_keys WHERE tenant_id = $1 AND key_id < $2 ORDER BY key_id DESC LIMIT $3"
_MAX_CLOCK_SKEW = timedelta(days=1)
"""More than the clocks of two gateways may differ."""
_AFTER_ALL_IDS = "~"
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


class PostgresKeyStore:
    """API keys. NOTIFY informs all processes of the gateway of new keys and of revocations, after their commit."""

    def __init__(self, postgres: Postgres, auditor: Auditor, max_created_keys: int = MAX_CREATED_KEYS) -> None:
        self._postgres = postgres
        self._auditor = auditor
        self._max_created_keys = max_created_keys

    async def add(self, key: ApiKey, request: RequestKey) -> ApiKey | None:
        """Adds a key, or returns the one that the same request added."""
        async with self._postgres.transaction(key.tenant_id) as connection:
            inserted = await connection.fetchval(
                _INSERT_KEY, key.key_id, key.tenant_id, key.display_name, key.subject, list(key.roles),
                key.created_at, key.expires_at, key.created_by, request.request_id or None, request.digest,
                list(key.personas), list(key.capsules),
            )  # fmt: skip
            if inserted is not None:
                since = key.created_at - CREATED_KEYS_WINDOW
                if await connection.fetchval(_OVER_LIMIT, key.tenant_id, self._max_created_keys, since):
                    raise too_many_keys(self._max_created_keys)
                await self._audit(connection, None, key)
                await connection.execute(_NOTIFY, CREATED_CHANNEL, key.key_id)
                return None
            row = await connection.fetchrow(_KEY_OF_REQUEST, key.tenant_id, request.request_id)
        return _KEY.validate_python(require_same_request(row, request))

    async def find_by_request(self, tenant_id: str, request: RequestKey) -> ApiKey | None:
        """Returns the key that the same request added."""
        if not request.request_id:
            return None
        async with self._postgres.transaction(tenant_id) as connection:
            row = await connection.fetchrow(_KEY_OF_REQUEST, tenant_id, request.request_id)
        return None if row is None else _KEY.validate_python(require_same_request(row, request))

    async def get(self, tenant_id: str, key_id: str) -> ApiKey | None:
        """Returns one key of a tenant."""
        async with self._postgres.transaction(tenant_id) as connection:
            row = await connection.fetchrow(_GET_KEY, tenant_id, key_id)
        return _key_from_row(row)

    async def list(self, tenant_id: str, active_at: datetime | None, before: str, limit: int) -> KeyPage:
        """Returns keys below an id, newest first."""
        max_scanned = limit if active_at is None else max(limit, MAX_SCANNED_KEYS)
        async with self._postgres.transaction(tenant_id) as connection:
            for rows in (limit + 1, max_scanned + 1):  # mostly the first rows fill the page
                found = await connection.fetch(_LIST_KEYS, tenant_id, before or _AFTER_ALL_IDS, rows)
                keys = [_KEY.validate_python(dict(row)) for row in found]
                page = page_of_keys(keys, active_at, limit, max_scanned)
                if page.next_cursor or len(found) < rows:
                    break
        return page

    async def revoke(self, tenant_id: str, key_id: str, now: datetime) -> ApiKey | None:
        """Revokes a key and notifies listeners."""
        async with self._postgres.transaction(tenant_id) as connection:
            before = _key_from_row(await connection.fetchrow(_LOCK_KEY, tenant_id, key_id))
            if before is None:
                return None
            after = before.revoke(now)
            if after is not before:
                await connection.execute(_REVOKE, tenant_id, key_id, now)
                await self._audit(connection, before, after)
                await connection.execute(_NOTIFY, REVOKED_CHANNEL, key_id)
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

    async def list_revocations(self, now: datetime, since: datetime | None = None) -> Sequence[Revocation]:
        """Returns the unexpired revoked keys of all tenants: none of them was revoked longer than KEY_LIFETIME ago."""
        async with self._postgres.transaction(SYSTEM) as connection:
            rows = await connection.fetch(_REVOKED, since or now - KEY_LIFETIME - _MAX_CLOCK_SKEW)
        return [_REVOCATION.validate_python(dict(row)) for row in rows if row["expires_at"] > now]

    @asynccontextmanager
    async def listen_revoked(self, on_revoked: Callable[[], None]) -> AsyncIterator[None]:
        """Calls back after every revocation, and after each reconnection."""
        async with self._postgres.listen(REVOKED_CHANNEL, lambda _key_id: on_revoked()):
            yield

    async def list_created(self, since: datetime, after: str, limit: int) -> Sequence[CreatedKey]:
        """Returns keys of all tenants in the order of their creation."""
        async with self._postgres.transaction(SYSTEM) as connection:
            rows = await connection.fetch(_CREATED, since, after, limit)
        return [_CREATED_KEY.validate_python(dict(row)) for row in rows]

    @asynccontextmanager
    async def listen_created(self, on_created: Callable[[], None]) -> AsyncIterator[None]:
        """Calls back after every new key, and after each reconnection."""
        async with self._postgres.listen(CREATED_CHANNEL, lambda _key_id: on_created()):
            yield


def _key_from_row(row: Mapping[str, object] | None) -> ApiKey | None:
    return None if row is None else _KEY.validate_python(dict(row))
