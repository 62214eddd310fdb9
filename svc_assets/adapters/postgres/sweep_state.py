"""Lease and progress of the sweep of the blob store, in Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.stores.postgres import SYSTEM

if TYPE_CHECKING:
    from datetime import datetime

    from mesh.stores.postgres import Postgres

_ACQUIRE = """
UPDATE blob_sweeps SET leased_until = $3
WHERE name = 'blobs' AND leased_until <= $1 AND finished_at <= $2 RETURNING cursor
"""
_ADVANCE = "UPDATE blob_sweeps SET cursor = $1, leased_until = $2 WHERE name = 'blobs'"
_FINISH = """
UPDATE blob_sweeps SET cursor = '', leased_until = '-infinity', finished_at = $1 WHERE name = 'blobs'
"""


class PostgresSweepState:
    """`SweepState` in one row: a mesh has one sweep. The lease of a replica that crashes expires."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def store_id(self) -> str:
        """Returns the id that the blob store of these rows is marked with."""
        async with self._postgres.transaction(SYSTEM) as connection:
            return str(await connection.fetchval("SELECT store_id FROM blob_sweeps WHERE name = 'blobs'"))

    async def acquire(self, now: datetime, finished_before: datetime, leased_until: datetime) -> str | None:
        """Acquires the lease; returns the path after which to continue."""
        async with self._postgres.transaction(SYSTEM) as connection:
            cursor: str | None = await connection.fetchval(_ACQUIRE, now, finished_before, leased_until)
        return cursor

    async def advance(self, cursor: str, leased_until: datetime) -> None:
        """Saves the last path that was compared, and extends the lease."""
        async with self._postgres.transaction(SYSTEM) as connection:
            await connection.execute(_ADVANCE, cursor, leased_until)

    async def finish(self, now: datetime) -> None:
        """Marks the sweep as finished and releases the lease."""
        async with self._postgres.transaction(SYSTEM) as connection:
            await connection.execute(_FINISH, now)
