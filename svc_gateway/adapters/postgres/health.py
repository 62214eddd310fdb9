"""The health check of the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.stores.postgres import SYSTEM

if TYPE_CHECKING:
    from mesh.stores.postgres import Postgres
    from svc_gateway.app.ports import Probe


def postgres_probe(postgres: Postgres) -> Probe:
    """Runs a query without a timeout of its own, so that the check can tell a slow database from one that is down."""

    async def probe() -> None:
        async with postgres.transaction(SYSTEM) as connection:
            await connection.fetchval("SELECT 1")

    return probe
