"""A replica of the registry follows the store across breaks of its connections."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import asyncpg

from mesh.clock import SystemClock
from mesh.testing.contract import eventually
from svc_registry.app import Catalog, Registry
from svc_registry.domain import CapabilityKey, HealthState, Report, Requester

if TYPE_CHECKING:
    from mesh.settings import PostgresSettings
    from soma_local.testing.engines import Databases
    from svc_registry.adapters.postgres import PostgresStore
    from svc_registry.domain import Capability

OPERATOR = Requester("ops", "root", is_platform=True)
_CUT = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_EDIT = "UPDATE registry.multimodal_capabilities SET version = version + 1, cost_tier = 'high'"


async def run(dsn: str, *statements: str) -> None:
    """Runs statements that announce nothing, as the owner of the database."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_changes_are_served_again_after_the_connections_broke(
    store: PostgresStore, settings: PostgresSettings, databases: Databases, d2: Capability
) -> None:
    clock = SystemClock()
    async with Catalog(store, store, "one").running() as one, Catalog(store, store, "two").running() as two:
        writer, reader = Registry(store, one, clock), Registry(store, two, clock)
        await writer.register(OPERATOR, d2)
        await eventually(lambda: two.capabilities.get(d2.key) is not None)
        dsn = databases.owner_dsn(settings)
        await run(dsn, _CUT, _EDIT, _CUT)  # an edit that is announced to nobody, between two breaks
        await eventually(lambda: reader.get(OPERATOR, "d2@local").version == 2)
        await writer.report_health(CapabilityKey("d2@local"), Report(HealthState.UNHEALTHY, "down", circuit_open=True))
        await eventually(lambda: reader.get(OPERATOR, "d2@local").health.circuit_open)
        edited = replace(reader.get(OPERATOR, "d2@local"), tags=("new",), version=0)
        await writer.update(OPERATOR, "d2@local", edited, ["tags"])
        await eventually(lambda: reader.get(OPERATOR, "d2@local").tags == ("new",))
        assert reader.get(OPERATOR, "d2@local").health.failure_count == 1
