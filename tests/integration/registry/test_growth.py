"""Statements of the registry read by index, however long its tables grow."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import asyncpg
import pytest

from svc_registry.adapters.postgres import retention
from svc_registry.adapters.postgres import statements as sql
from svc_registry.adapters.postgres.store import REQUESTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from mesh.settings import PostgresSettings
    from soma_local.testing.engines import Databases

ROWS = 200_000
KEY = "'t7', 'tool1', 'p'"
_FILL = f"""
INSERT INTO multimodal_capabilities
    (tenant_id, tool_id, provider, version, document, created_at, updated_at, deleted_at)
SELECT 't' || n / 200, 'tool' || n % 200, 'p', 1, '{{"allow": {{}}}}', now(), now(),
    CASE WHEN n % 50 = 0 THEN now() - make_interval(days => n % 100) END
FROM generate_series(1, {ROWS}) n;
INSERT INTO ladders (tenant_id, modality, task_type, capability_ids, version, updated_by, updated_at)
SELECT 't' || n / 200, 'diagram', 'task' || n % 200, '{{a@b}}', 1, '', now() FROM generate_series(1, {ROWS}) n;
INSERT INTO registrations (tenant_id, request_id, digest, capability_id, created_at)
SELECT 't' || n / 200, 'r' || n, 'd', 'c', now() - make_interval(days => n % 30) FROM generate_series(1, {ROWS}) n;
ANALYZE multimodal_capabilities, ladders, registrations;
"""
STATEMENTS = {
    "SELECT_CAPABILITIES": (sql.SELECT_CAPABILITIES, f"{KEY}, 500"),
    "SELECT_CAPABILITY": (sql.SELECT_CAPABILITY, KEY),
    "SELECT_CAPABILITY_FOR_UPDATE": (sql.SELECT_CAPABILITY_FOR_UPDATE, KEY),
    "UPDATE_CAPABILITY": (
        sql.UPDATE_CAPABILITY, f"{KEY}, 2, '{{}}', '{{}}', '{{}}', '{{}}', 'low', '{{}}', now(), now(), NULL, 1"
    ),
    "UPDATE_HEALTH": (sql.UPDATE_HEALTH, f"{KEY}, 'healthy', 0, now(), '', false, 1, '{{}}'"),
    "COUNT_CAPABILITIES": (sql.COUNT_CAPABILITIES, "'t7'"),
    "SELECT_LADDERS": (sql.SELECT_LADDERS, "'t7', 'diagram', 'task3', 500"),
    "SELECT_LADDER": (sql.SELECT_LADDER, "'t7', 'diagram', 'task3'"),
    "SELECT_LADDER_FOR_UPDATE": (sql.SELECT_LADDER_FOR_UPDATE, "'t7', 'diagram', 'task3'"),
    "UPDATE_LADDER": (sql.UPDATE_LADDER, "'t7', 'diagram', 'task3', '{a@b}', 2, '', now(), 1"),
    "COUNT_LADDERS": (sql.COUNT_LADDERS, "'t7'"),
    "REQUEST": (REQUESTS.select, "'t7', 'r1'"),
    "DELETE_REQUESTS": (retention.DELETE_REQUESTS, "NULL, '{}', now() - interval '29 days 12 hours', 500, false"),
    "DELETE_CAPABILITIES": (retention.DELETE_CAPABILITIES, "NULL, '{}', now() - interval '30 days', 500, false"),
}  # fmt: skip
INSERTS = {"INSERT_CAPABILITY", "INSERT_LADDER", "LOCK_TENANT"}


@pytest.fixture(scope="module")
async def grown(databases: Databases) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the registry's role to tables with many rows."""
    from tests.conftest import ROOT

    settings: PostgresSettings = await databases.fresh("registry", [ROOT / "svc_registry/migrations"])
    owner = await asyncpg.connect(databases.owner_dsn(settings), server_settings={"search_path": "registry"})
    await owner.execute(_FILL, timeout=600)
    await owner.close()
    dsn = settings.dsn.get_secret_value()
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "registry", "soma.tenant_id": "*"})
    yield connection
    await connection.close()


def nodes(plan: dict[str, object]) -> Iterator[dict[str, object]]:
    """All nodes of a plan."""
    yield plan
    for part in plan.get("Plans", []):  # type: ignore[attr-defined]
        yield from nodes(part)


def test_every_statement_is_looked_at() -> None:
    own = {**vars(sql), **vars(retention)}
    names = {name for name, value in own.items() if name.isupper() and isinstance(value, str)}
    assert (names | {"REQUEST"}) - {"COLUMNS"} == {*STATEMENTS, *INSERTS}


@pytest.mark.parametrize("name", STATEMENTS)
async def test_no_statement_reads_a_whole_table(grown: asyncpg.Connection, name: str) -> None:
    statement, arguments = STATEMENTS[name]
    await grown.execute(f"PREPARE looked_{name} AS {statement}")
    text = await grown.fetchval(f"EXPLAIN (FORMAT JSON, ANALYZE) EXECUTE looked_{name} ({arguments})")
    plan = json.loads(text)[0]["Plan"]
    scans = [node for node in nodes(plan) if "Relation Name" in node]
    assert scans
    assert [node["Relation Name"] for node in scans if node["Node Type"] == "Seq Scan"] == []
    read = sum(
        int(node.get("Actual Rows", 0)) + int(node.get("Rows Removed by Filter", 0))  # type: ignore[call-overload]
        for node in scans
    )
    assert read <= 5000
