"""Counts the rows that statements read, planned and run as in production."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from mesh.stores.postgres import Postgres

# What the session did before, and did not report yet, is in it: differences count.
_READ = """
SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_xact_user_tables
WHERE schemaname = current_schema()
"""


class Counting:
    """A `Postgres` that counts the rows which each of its transactions reads."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self.schema = postgres.schema
        self.reads: list[int] = []

    @asynccontextmanager
    async def transaction(self, tenant_id: str) -> AsyncIterator[asyncpg.Connection]:
        """A transaction of the `Postgres`."""
        async with self._postgres.transaction(tenant_id) as connection:
            before = await connection.fetchval(_READ)
            yield connection
            self.reads.append(await connection.fetchval(_READ) - before)
