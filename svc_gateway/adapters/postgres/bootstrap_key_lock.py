"""The lock that lets one replica at a time create the first key."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mesh.stores.postgres import SYSTEM

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.stores.postgres import Postgres

# Earlier versions, which may run beside this one, lock under this name.
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('soma.first_key'))"


@asynccontextmanager
async def bootstrap_key_lock(postgres: Postgres) -> AsyncIterator[None]:
    """Held by one process at a time; the others wait, or fail when a statement times out."""
    async with postgres.transaction(SYSTEM) as connection:
        await connection.execute(_LOCK)
        yield
