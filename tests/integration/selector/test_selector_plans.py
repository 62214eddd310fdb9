"""No statement of the selector reads more of a table than what it is about, however many rows there are."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import pytest

from mesh.stores.postgres import SYSTEM, Postgres
from mesh.stores.retention import CHUNK
from mesh.testing import id_of
from svc_selector.adapters.postgres import budgets, decisions, ledger, retention

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from soma_local.testing.engines import Databases

MIGRATIONS = Path(__file__).parents[3] / "svc_selector" / "migrations"
ROWS = 200_000
TENANTS = 4
NOW = datetime(2026, 7, 10, tzinfo=UTC)
OLD = datetime(2026, 4, 10, tzinfo=UTC)
ID = id_of(NOW, 1)
_FILL = f"""
CREATE TEMPORARY TABLE numbered AS
SELECT n, at, rpad(lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0'), 32, '7')::uuid AS id
FROM generate_series(1, {ROWS}) AS n, LATERAL (SELECT timestamptz '{NOW}' - make_interval(mins => n)) AS t (at);
INSERT INTO selections
SELECT id, CASE WHEN n > {ROWS // 2} THEN 'quiet' ELSE 't' || n % {TENANTS} END,
       'r' || n, 'j' || n % 20000, 'c', 'document', at
FROM numbered;
INSERT INTO reservations
SELECT id, 't' || n % {TENANTS}, 'image', at, CASE WHEN n % 1000 = 0 THEN 'held' ELSE 'settled' END, 1, 1, at
FROM numbered;
INSERT INTO budget_accounts
SELECT 't' || n / 20, 's' || n % 2, timestamptz '2026-07-01 00:00+00' - make_interval(months => n / 2 % 10), 0, 1
FROM numbered;
INSERT INTO budgets SELECT 't' || n / 10, 's' || n % 10, 1, 'alice' FROM numbered;
INSERT INTO budget_requests SELECT id, 't' || n % {TENANTS}, 'r' || n, 'd', '', 1, 1, 1, at, 'alice' FROM numbered;
"""
"""One row for each minute before now, in ids as in times."""
OLDER = datetime(2024, 4, 10, tzinfo=UTC)
STATEMENTS = {
    "a decision by its request": (decisions._BY_REQUEST, ("t1", "r1")),
    "decisions of a tenant": (decisions._LIST, ("t1", ID, 51)),
    "decisions of a tenant that made many and makes none now": (decisions._LIST, ("quiet", ID, 51)),
    "decisions of a job": (decisions._LIST_JOB, ("t1", ID, 51, "j1")),
    "locking accounts": (ledger._LOCK_ACCOUNTS, ("t1", ["", "image"], NOW)),
    "booking": (ledger._UPDATE_ACCOUNTS, ("t1", ["", "image"], NOW, 1, 1)),
    "finding a reservation": (ledger._GET_RESERVATION, (ID,)),
    "closing a reservation": (ledger._CLOSE, (ID, "settled", 1)),
    "finding expired reservations": (ledger._LIST_EXPIRED, (OLD, *ledger._START, ledger.EXPIRE_BATCH_SIZE)),
    "finding expired reservations after a position": (
        ledger._LIST_EXPIRED,
        (OLD, OLD, UUID(ID), ledger.EXPIRE_BATCH_SIZE),
    ),
    "reading budgets": (budgets._LIST_BUDGETS, ("t1", NOW, 1)),
    "reading a cap": (budgets._LOCK_CAP, ("t1", "image")),
    "an answer by its request": (budgets._GET_ANSWER, ("t1", "r1")),
    **{
        f"retention of {rule.table} before {before:%Y}": (rule.chunk, (None, [], before, CHUNK, False))
        for rule in retention.RETENTION_RULES
        for before in (OLD, OLDER)
    },
}


@pytest.fixture(scope="module")
async def postgres(databases: Databases) -> AsyncIterator[Postgres]:
    settings = await databases.fresh("selector", [MIGRATIONS])
    owner = await asyncpg.connect(databases.owner_dsn(settings), command_timeout=600)
    await owner.execute("SET search_path = selector")
    await owner.execute(_FILL)
    await owner.execute("ANALYZE")
    await owner.close()
    async with Postgres.open(settings) as opened:
        yield opened


def nodes(plan: dict[str, object]) -> Iterator[dict[str, object]]:
    yield plan
    for below in plan.get("Plans", ()):  # type: ignore[attr-defined]
        yield from nodes(below)


@pytest.mark.parametrize(("statement", "arguments"), STATEMENTS.values(), ids=STATEMENTS)
async def test_a_statement_reads_what_it_is_about(
    postgres: Postgres, statement: str, arguments: tuple[object, ...]
) -> None:
    async with postgres.transaction(SYSTEM) as connection:
        [explained] = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *arguments)
    read = [
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes(explained["Plan"])
        if "Relation Name" in node and node["Node Type"] != "ModifyTable"
    ]
    assert max(read) <= 2 * CHUNK
