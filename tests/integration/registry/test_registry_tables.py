"""The registry's tables: what a transaction of a tenant sees, what is kept for how long, what older rows become."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from mesh.idempotency import RequestKey
from mesh.stores.migrations import common_migrations, migrate, rollback
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.stores.retention import Retention, RetentionPeriods
from mesh.testing import FakeClock
from svc_registry.adapters.postgres import RETENTION_RULES
from svc_registry.app.ports import Request
from svc_registry.domain import Ladder, LadderKey, Modality

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soma_local.testing.engines import Databases
    from svc_registry.adapters.postgres import PostgresStore
    from svc_registry.domain import Capability

FOLDER = Path(__file__).parents[3] / "svc_registry" / "migrations"
BEFORE = "20261123000100_registry.sql"
NOW = datetime(2026, 7, 10, tzinfo=UTC)
DAYS = 30
TABLES = ("multimodal_capabilities", "ladders", "registrations")


@pytest.fixture
async def filled(store: PostgresStore, d2: Capability) -> PostgresStore:
    """Rows of two tenants and of the platform."""
    row = replace(d2, version=1, created_at=NOW, updated_at=NOW)
    for tenant_id in ("", "acme", "umbrella"):
        await store.save_capability(replace(row, tenant_id=tenant_id), 0, "root")
        await store.save_ladder(Ladder(LadderKey(Modality.DIAGRAM, "x"), ("a@b",), tenant_id, 1, "root", NOW), 0)
        if tenant_id:
            await store.save_result(Request(tenant_id, RequestKey.for_request("r")), "d2@local")
    return store


@pytest.mark.parametrize("table", TABLES)
async def test_a_transaction_of_a_tenant_sees_its_own_rows_alone(
    filled: PostgresStore, postgres: Postgres, table: str
) -> None:
    async with postgres.transaction("acme") as connection:
        rows = await connection.fetch(f"SELECT tenant_id FROM {table}")
    assert [row["tenant_id"] for row in rows] == ["acme"]


@pytest.mark.parametrize("table", TABLES)
async def test_a_transaction_without_a_tenant_sees_nothing(
    filled: PostgresStore, postgres: Postgres, table: str
) -> None:
    async with postgres.transaction("") as connection:
        assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_a_transaction_of_a_tenant_writes_no_row_of_another(postgres: Postgres) -> None:
    for tenant_id in ("umbrella", ""):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with postgres.transaction("acme") as connection:
                await connection.execute("INSERT INTO registrations VALUES ($1, 'r', 'd', 'c')", tenant_id)


async def test_old_records_go_and_what_the_platform_deleted_stays(
    store: PostgresStore, postgres: Postgres, d2: Capability
) -> None:
    for days in (DAYS - 1, DAYS + 1):
        at = NOW - timedelta(days=days)
        for tenant_id in ("", "acme"):
            row = replace(d2, tool_id=f"t{days}", tenant_id=tenant_id, version=1, created_at=at, updated_at=at)
            await store.save_capability(row, 0, "root")
            await store.save_capability(replace(row, version=2, deleted_at=at), 1, "root")
            await store.save_capability(replace(row, tool_id=f"live{days}"), 0, "root")
        async with postgres.transaction(SYSTEM) as connection:
            await connection.execute("INSERT INTO registrations VALUES ('acme', $1, 'd', 'c', $2)", f"r{days}", at)

    async def terms() -> Mapping[str, RetentionPeriods]:
        return {"records": RetentionPeriods(DAYS)}

    removed = await Retention(postgres, RETENTION_RULES, terms, FakeClock(NOW)).run()
    assert removed == {"registrations": 1, "multimodal_capabilities": 1}
    left = {item.key async for page in store.list_capabilities() for item in page}
    assert ("t31@local", "acme") not in left
    assert {("t31@local", ""), ("t29@local", "acme"), ("live31@local", "acme")} <= left


async def test_rows_of_the_older_schema_move_to_their_columns_and_back(databases: Databases, tmp_path: Path) -> None:
    (tmp_path / BEFORE).write_text((FOLDER / BEFORE).read_text())
    dsn = await databases.empty()
    await migrate(dsn, "registry", [tmp_path])
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "registry"})
    try:
        before = await _write_older_rows(connection)
        await migrate(dsn, "registry", [FOLDER])
        rows = {row["tool_id"]: row for row in await connection.fetch("SELECT * FROM multimodal_capabilities")}
        assert (rows["own"]["tenant_id"], rows["shared"]["tenant_id"], rows["all"]["tenant_id"]) == ("acme", "", "")
        own = rows["own"]
        assert (own["modalities"], own["cost_tier"], own["health_status"]) == (["diagram"], "low", "degraded")
        assert (own["health_failures"], json.loads(own["input_schema"])) == (2, {"type": "object"})
        assert json.loads(own["document"]) == {"allow": {"roles": ["member"]}, "tags": ["x"]}
        assert json.loads(rows["shared"]["document"])["allow"] == {"roles": ["member"], "tenants": ["acme", "umbrella"]}
        folders = (*common_migrations(), FOLDER)
        for _ in [file for folder in folders for file in folder.glob("*.sql") if file.name > BEFORE]:
            await rollback(dsn, "registry", [FOLDER])
        assert await _older_rows(connection) == before
    finally:
        await connection.close()


async def _write_older_rows(connection: asyncpg.Connection) -> dict[str, object]:
    for tool, tenants in (("own", ["acme"]), ("shared", ["acme", "umbrella"]), ("all", [])):
        document = {
            "tool_id": tool, "provider": "p", "modalities": ["diagram"], "input_schema": {"type": "object"},
            "output_schema": {}, "constraints": {"formats": ["png"]}, "cost_tier": "low",
            "allow": {"tenants": tenants, "roles": ["member"]}, "tags": ["x"],
        }  # fmt: skip
        health = {
            "state": "degraded", "failure_count": 2, "checked_at": None, "reason": "slow", "circuit_open": False
        }  # fmt: skip
        insert = "INSERT INTO multimodal_capabilities VALUES ($1, $2, 'p', 3, $3, $4, now(), now())"
        await connection.execute(insert, f"{tool}@p", tool, json.dumps(document), json.dumps(health))
    return await _older_rows(connection)


async def _older_rows(connection: asyncpg.Connection) -> dict[str, object]:
    rows = await connection.fetch("SELECT capability_id, document, health, version FROM multimodal_capabilities")
    return {
        row["capability_id"]: (json.loads(row["document"]), json.loads(row["health"]), row["version"]) for row in rows
    }
