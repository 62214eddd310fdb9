"""No statement of the asset store costs more as its tables grow: each is bounded by an index."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

import pytest

from mesh.clock import SystemClock
from mesh.events.outbox import Outbox
from mesh.ids import SystemIds
from mesh.settings import BlobSettings
from mesh.stores import blobs as blob_store
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.stores.retention import Retention, RetentionPeriods
from mesh.testing import FakeClock
from mesh.testing.audit import auditor
from svc_assets.adapters.blobs import AssetBlobStore
from svc_assets.adapters.postgres import RETENTION_RULES, PostgresAssetStore, PostgresSweepState
from svc_assets.domain.model import ListQuery, Origin
from svc_assets.events.published import AssetEvents
from tests.contract.assets.store import LARGE, Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

    from svc_assets.domain.model import Asset
    from tests.integration.assets.conftest import Recording

Plan: TypeAlias = "Mapping[str, object]"
GROWING = {"multimodal_assets", "asset_holders", "upload_requests"}
_FOREIGN_KEYS = """
SELECT c.conrelid::regclass::text AS child, EXISTS (
    SELECT 1 FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indisvalid AND i.indpred IS NULL
        AND (i.indkey::int2[])[0:cardinality(c.conkey) - 1] = c.conkey) AS indexed
FROM pg_constraint c WHERE c.contype = 'f' AND c.connamespace = current_schema()::regnamespace
"""

_MANY = """
INSERT INTO asset_holders (tenant_id, asset_id, holder, subject)
SELECT 't1', $1::text::uuid, 'many' || i, 'alice' FROM generate_series(1, 500) AS i
"""


@pytest.fixture
async def store(grown: Recording, tmp_path: Path) -> AsyncIterator[Store]:
    async with blob_store.open(BlobSettings(url="memory:///")) as blobs:
        rows = PostgresAssetStore(grown, Outbox(), auditor("assets"), AssetEvents(SystemIds()))
        yield Store(rows, AssetBlobStore(blobs), PostgresSweepState(grown), FakeClock(SystemClock().now()), tmp_path)


async def everything(store: Store, grown: Recording) -> None:
    """Calls everything that the store can do, at least once on each way."""
    for body in (b"small", LARGE):
        first = await store.put(body, "t1", request_id=f"r{len(body)}")
        await store.put(body, "t1", request_id=f"r{len(body)}")
        await store.put(body, "t1", subject="bob", classification="confidential")
        await store.put(body, "t1", origin=Origin(job_id="job-x"))
        await store.read(first)
        await store.delete(first)
        await store.delete(first, job_id="job-x")
        await store.assets.erase("t1", first.asset_id, "asked for")
    for kind, job, before, tombstones in itertools.product(
        ("", "image"), ("", "job7"), ("", SystemIds().new()), (0, 1)
    ):
        await store.rows.list("t7", ListQuery(kind, job, bool(tombstones), 51, before))
        await store.rows.list("t7", ListQuery(kind, job, bool(tombstones), 51, before, only_held=True))
    await store.rows.discard(first, store.clock.now())
    await store.swept()
    days = RetentionPeriods(1_000)

    async def retention_periods() -> Mapping[str, RetentionPeriods]:
        return {"requests": days, "tombstones": days}

    await Retention(grown, RETENTION_RULES, retention_periods, store.clock).run()


def unbounded(plan: Plan) -> Iterator[str]:
    """The nodes of a plan that read a growing table whole, or an index of it without a condition on its key."""
    table = str(plan.get("Relation Name", ""))
    kind = str(plan["Node Type"])
    if table in GROWING and (kind == "Seq Scan" or (kind.startswith("Index") and "Index Cond" not in plan)):
        yield f"{kind} of {table}"
    if kind == "Bitmap Index Scan" and "Index Cond" not in plan:
        yield f"{kind} of {plan['Index Name']}"
    children: list[Plan] = plan.get("Plans", [])  # type: ignore[assignment]
    for child in children:
        yield from unbounded(child)


async def explained(postgres: Postgres, statement: str, arguments: tuple[object, ...]) -> list[str]:
    async with Postgres.transaction(postgres, SYSTEM) as connection:
        await connection.execute("SELECT set_config('soma.tenant_id', 't1', true)")
        found = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *arguments)
    return list(unbounded(decoded(found)))


def decoded(found: str | list[dict[str, Plan]]) -> Plan:
    """The plan that EXPLAIN answers with, as text where the connection leaves JSON as it is."""
    plans: list[dict[str, Plan]] = json.loads(found) if isinstance(found, str) else found
    return plans[0]["Plan"]


async def test_every_statement_is_bounded_by_an_index(grown: Recording, store: Store) -> None:
    grown.statements.clear()
    await everything(store, grown)
    own = {text: args for text, args in grown.statements if any(table in text for table in GROWING)}
    assert len(own) > 30
    found = {text: bad for text, args in own.items() if (bad := await explained(grown, text, args))}
    assert found == {}


def rows_read(plan: Plan, table: str) -> float:
    """How many rows of a table the nodes of an executed plan read, also those that a filter removed."""
    own = float(str(plan["Actual Rows"])) + float(str(plan.get("Rows Removed by Filter", 0)))
    read = own * float(str(plan["Actual Loops"])) if plan.get("Relation Name") == table else 0.0
    children: list[Plan] = plan.get("Plans", [])  # type: ignore[assignment]
    return read + sum(rows_read(child, table) for child in children)


async def holders_read(grown: Recording, store: Store, asset: Asset) -> dict[str, float]:
    """How many rows of holders each statement reads that reads, joins, lists or releases an asset."""
    grown.statements.clear()
    await store.rows.get("t1", asset.asset_id)
    await store.read(asset)
    await store.put(b"much used", "t1", request_id="many")
    await store.put(b"much used", "t1")
    await store.rows.list("t1", ListQuery())
    await store.rows.list("t1", ListQuery(job_id="many7"))
    await store.delete(asset, subject="mallory")
    found = {}
    for statement, arguments in list(grown.statements):
        if statement.lstrip().startswith("SELECT") and "asset_holders" in statement:
            async with Postgres.transaction(grown, "t1") as connection:
                plans = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *arguments)
            found[statement] = rows_read(decoded(plans), "asset_holders")
    return found


async def test_no_read_of_an_asset_reads_all_its_holders(grown: Recording, store: Store) -> None:
    """Regression: each read counted them."""
    asset = await store.put(b"much used", "t1", request_id="many")
    async with Postgres.transaction(grown, "t1") as connection:
        await connection.execute(_MANY, asset.asset_id)
    found = await holders_read(grown, store, asset)
    assert len(found) >= 6
    assert {statement: rows for statement, rows in found.items() if rows > 5} == {}
    shown = await store.rows.get("t1", asset.asset_id)
    assert shown is not None
    assert shown.reference_count == 501


async def test_an_id_that_is_none_does_not_reach_the_database(grown: Recording, store: Store) -> None:
    grown.statements.clear()
    assert await store.rows.get("t1", "not-an-id") is None
    assert await store.rows.erase("t1", "not-an-id", "", store.clock.now()) is None
    assert grown.statements == []


async def test_the_check_finds_a_scan(grown: Recording) -> None:
    """The planted fault: how ids were compared before."""
    statement = "SELECT 1 FROM multimodal_assets WHERE asset_id::text = $1"
    assert await explained(grown, statement, ("x",)) == ["Seq Scan of multimodal_assets"]


async def test_every_foreign_key_has_an_index(grown: Recording) -> None:
    async with Postgres.transaction(grown, SYSTEM) as connection:
        keys = await connection.fetch(_FOREIGN_KEYS)
    assert keys
    assert [key["child"] for key in keys if not key["indexed"]] == []


async def test_old_request_ids_and_tombstones_go_and_nothing_else(grown: Recording, store: Store) -> None:
    count = "SELECT count(*) FROM multimodal_assets WHERE status <> 'tombstoned'"
    async with Postgres.transaction(grown, SYSTEM) as connection:
        before = await connection.fetchval(count)

    async def retention_periods() -> Mapping[str, RetentionPeriods]:
        return {"requests": RetentionPeriods(30), "tombstones": RetentionPeriods(400)}

    await store.clock.advance(timedelta(days=401).total_seconds())
    removed = await Retention(grown, RETENTION_RULES, retention_periods, store.clock).run()
    async with Postgres.transaction(grown, SYSTEM) as connection:
        assert await connection.fetchval(count) == before
        assert await connection.fetchval("SELECT count(*) FROM multimodal_assets WHERE status = 'tombstoned'") == 0
        assert await connection.fetchval("SELECT count(*) FROM upload_requests") == 0
    assert removed["multimodal_assets"] > 9_000
