"""The gateway's queries cost no more when its tables have grown, and request ids are deleted by age."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from mesh.idempotency import RequestKey
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.stores.retention import CHUNK, Retention, RetentionPeriods
from mesh.testing import FakeClock
from mesh.testing.audit import auditor
from svc_gateway.adapters.postgres import keys as key_sql
from svc_gateway.adapters.postgres import tenants as tenant_sql
from svc_gateway.adapters.postgres.keys import PostgresKeyStore
from svc_gateway.adapters.postgres.retention import RETENTION_RULES
from svc_gateway.adapters.postgres.tenants import PostgresTenantStore
from svc_gateway.app.lookback import LONG_LOOKBACK
from svc_gateway.domain.keys import MAX_CREATED_KEYS, MAX_SCANNED_KEYS, ApiKey, Tenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from soma_local.testing import engines
    from tests.conftest import Database

MIGRATIONS = Path(__file__).parent.parent.parent.parent / "svc_gateway" / "migrations"
ROWS = 200_000
NOW = datetime(2026, 7, 10, tzinfo=UTC)
DAYS = 30
# Half of the keys belong to one tenant, one in a hundred is revoked.
_FILL = f"""
INSERT INTO tenants (tenant_id, display_name, plan, created_at, request_id, request_digest)
SELECT 'tenant-' || n, 'T', 'pro', '{NOW.isoformat()}', 'request-' || n, 'd' FROM generate_series(1, {ROWS}) AS n;
INSERT INTO api_keys (key_id, tenant_id, display_name, subject, roles, created_at, expires_at, created_by, revoked_at,
                      request_id, request_digest)
SELECT 'key-' || lpad(n::text, 7, '0'), CASE WHEN n % 2 = 0 THEN 'big' ELSE 'tenant-' || n END, 'k', 's', '{{member}}',
       '{NOW.isoformat()}', '{(NOW + timedelta(days=1)).isoformat()}', 's',
       CASE WHEN n % 100 = 0 THEN '{NOW.isoformat()}'::timestamptz - n * interval '1 second' END, 'request-' || n, 'd'
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO tenant_updates SELECT 'request-' || n, 'big', 'd', '{{}}', '{NOW.isoformat()}'
FROM generate_series(1, {ROWS}) AS n;
"""


@dataclass(frozen=True)
class Query:
    """A statement, its arguments and how many rows it may look at."""

    sql: str
    arguments: tuple[object, ...]
    rows: int = 5


_MIDDLE = f"key-{ROWS // 2:07d}"
_RETENTION: tuple[object, ...] = (None, [], NOW - timedelta(days=DAYS), CHUNK, False)
ASKED: Mapping[str, Query] = {
    "key": Query(key_sql._GET_KEY, ("big", _MIDDLE)),
    "key to revoke": Query(key_sql._LOCK_KEY, ("big", _MIDDLE)),
    "key of a request": Query(key_sql._KEY_OF_REQUEST, ("big", f"request-{ROWS // 2}")),
    "first page": Query(key_sql._LIST_KEYS, ("big", "~", MAX_SCANNED_KEYS + 1), 3 * MAX_SCANNED_KEYS),
    "deep page": Query(key_sql._LIST_KEYS, ("big", _MIDDLE, 51), 120),
    "new keys": Query(key_sql._CREATED, (NOW + timedelta(seconds=1), "", 5_000)),
    "first page of existing keys": Query(key_sql._CREATED, (NOW - timedelta(days=365), "", 5_000), 3 * 5_000),
    "deep page of existing keys": Query(key_sql._CREATED, (NOW, _MIDDLE, 5_000), 3 * 5_000),
    "keys made lately": Query(key_sql._OVER_LIMIT, ("big", MAX_CREATED_KEYS, NOW), 3 * MAX_CREATED_KEYS),
    "late revocations": Query(key_sql._REVOKED, (NOW - LONG_LOOKBACK,), 20),
    "tenant": Query(tenant_sql._GET_TENANT, ("tenant-5",)),
    "tenant of a request": Query(tenant_sql._TENANT_OF_REQUEST, ("request-5",)),
    "tenant to change": Query(tenant_sql._LOCK_TENANT, ("tenant-5",)),
    "update of a request": Query(tenant_sql._UPDATE_OF_REQUEST, ("request-5",)),
    "page of tenants": Query(tenant_sql._LIST_TENANTS, ("tenant-5", 51), 120),
    **{f"retention of {rule.table}": Query(rule.chunk, _RETENTION) for rule in RETENTION_RULES},
}


@pytest.fixture(scope="module")
async def grown(databases: engines.Databases) -> AsyncIterator[Postgres]:
    settings = await databases.fresh("gateway", [MIGRATIONS])
    async with Postgres.open(settings) as postgres:
        async with postgres.transaction(SYSTEM) as connection:
            await connection.execute(_FILL, timeout=110)
        # As autovacuum does in time: the role of the context may not.
        owner = await asyncpg.connect(databases.owner_dsn(settings))
        await owner.execute("ANALYZE", timeout=600)
        await owner.close()
        yield postgres


async def rows_read(connection: asyncpg.Connection, query: Query) -> float:
    """Rows that the statement reads."""
    found = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {query.sql}", *query.arguments)
    plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return sum(rows_of(node) for node in nodes(plan))


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", ()) for node in nodes(child))]


def rows_of(node: dict[str, Any]) -> float:
    """Rows that a node takes from a table or an index."""
    if not node["Node Type"].endswith("Scan") or "CTE" in node["Node Type"]:
        return 0.0
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return float((node["Actual Rows"] + removed) * node["Actual Loops"])


@pytest.mark.parametrize("name", ASKED)
async def test_statement_looks_at_few_rows_of_a_big_table(grown: Postgres, name: str) -> None:
    async with grown.transaction(SYSTEM) as connection:
        assert await rows_read(connection, ASKED[name]) <= ASKED[name].rows


async def test_the_check_catches_a_statement_that_reads_the_whole_table(grown: Postgres) -> None:
    asked = Query("SELECT * FROM api_keys WHERE subject = $1", ("nobody",))
    async with grown.transaction(SYSTEM) as connection:
        assert await rows_read(connection, asked) >= ROWS


async def test_request_ids_go_by_age_and_keys_and_tenants_stay(database: Database) -> None:
    async with Postgres.open(await database("gateway")) as postgres:
        audits = auditor("gateway")
        keys, tenants = PostgresKeyStore(postgres, audits), PostgresTenantStore(postgres, audits)
        for name, at in (("old", NOW - timedelta(days=DAYS + 1)), ("young", NOW - timedelta(days=DAYS - 1))):
            request, key = RequestKey.for_request(name, b"digest"), ApiKey(name, "acme", "", "s", (), at, at, "s")
            await keys.add(key, request)
            await tenants.add(Tenant(f"tenant-{name}", "", "pro", at), request)
            await tenants.update(f"tenant-{name}", lambda tenant: tenant, request, at)
        retention = Retention(postgres, RETENTION_RULES, terms, FakeClock(NOW))
        assert await retention.run() == {"tenant_updates": 1, "api_keys": 1, "tenants": 1}
        assert await retention.run() == {}
        assert await keys.find_by_request("acme", RequestKey.for_request("old", b"digest")) is None
        assert await keys.find_by_request("acme", RequestKey.for_request("young", b"digest")) is not None
        assert await keys.get("acme", "old") is not None
        assert await tenants.get("tenant-old") is not None


async def terms() -> Mapping[str, RetentionPeriods]:
    return {"requests": RetentionPeriods(DAYS)}
