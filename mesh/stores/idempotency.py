"""Requests that were answered, recorded in the transaction of what they wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncpg

    from mesh.idempotency import RequestKey


class RepeatedRequestError(Exception):
    """Another call recorded the same request meanwhile; leave the transaction, so that nothing of it stays."""


class RequestTable:
    """A table of requests: `tenant_id` and `request_id` are its key, `digest` is text, `column` names what was written.

    Each method runs in the caller's transaction, in the tenant's name. `select` and `insert` are the statements.
    """

    def __init__(self, table: str, column: str) -> None:
        self.select = f"SELECT digest, {column} FROM {table} WHERE tenant_id = $1 AND request_id = $2"  # noqa: S608
        self.insert = f"""
            INSERT INTO {table} (tenant_id, request_id, digest, {column}) VALUES ($1, $2, $3, $4)
            ON CONFLICT DO NOTHING RETURNING 1
        """  # noqa: S608 - names are ours

    async def written_before(self, connection: asyncpg.Connection, tenant_id: str, key: RequestKey) -> str | None:
        """What the request wrote before; None when it did not, or has no id. IDEMPOTENCY_MISMATCH for another one."""
        row = await connection.fetchrow(self.select, tenant_id, key.request_id) if key.request_id else None
        if row is None:
            return None
        digest, written = row
        key.require_same(digest)
        return str(written)

    async def record(self, connection: asyncpg.Connection, tenant_id: str, key: RequestKey, written: str) -> str | None:
        """Records what the request writes; None when it comes for the first time, or has no id.

        Otherwise what it wrote before. A transaction that records the same request at the same moment is waited for.
        IDEMPOTENCY_MISMATCH when the id was used for another request.
        """
        if not key.request_id:
            return None
        values = (tenant_id, key.request_id, key.digest, written)
        if await connection.fetchval(self.insert, *values) is not None:
            return None
        return await self.written_before(connection, tenant_id, key)

    async def record_new(self, connection: asyncpg.Connection, tenant_id: str, key: RequestKey, written: str) -> None:
        """Records what the request wrote; RepeatedRequestError when another call recorded the request before."""
        if await self.record(connection, tenant_id, key, written) is not None:
            raise RepeatedRequestError
