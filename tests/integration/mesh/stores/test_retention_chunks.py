"""Chunks of retention that take longer than a statement may become smaller, until they do not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from mesh.stores.expired_rows import delete_by_id
from mesh.stores.postgres import SYSTEM
from mesh.stores.retention import CHUNK, Retention, RetentionPeriods, RetentionRule
from mesh.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh.stores.postgres import Postgres
    from soma_local.testing.engines import Databases

NOW = datetime(2026, 7, 10, tzinfo=UTC)
ROWS = 300
MOST = 50
"""Rows that can be deleted within the time limit."""
_TABLE = f"""
CREATE TABLE probe.things (thing_id uuid PRIMARY KEY, tenant_id text NOT NULL);
INSERT INTO probe.things
SELECT ('019d4000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'acme' FROM generate_series(1, {ROWS}) AS n;
GRANT SELECT, UPDATE, DELETE ON probe.things TO probe;
CREATE FUNCTION probe.in_time(size bigint, most bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF size > most THEN
        RAISE EXCEPTION 'canceling statement due to statement timeout' USING ERRCODE = 'query_canceled';
    END IF;
    RETURN true;
END
$$;
"""
_ANY = RetentionRule("things", "things", delete_by_id("things", "thing_id", "true"))
_SLOW = replace(_ANY, chunk=delete_by_id("things", "thing_id", f"in_time($4, {MOST})"))
_STUCK = replace(_ANY, table="stuck", chunk=delete_by_id("things", "thing_id", "in_time($4, 0)"))


@pytest.fixture
async def things(postgres: Postgres, databases: Databases) -> Postgres:
    """Rows of March 2026."""
    owner = await asyncpg.connect(databases.owner_dsn(postgres._settings))
    await owner.execute(_TABLE)
    await owner.close()
    return postgres


def retention(postgres: Postgres, *rules: RetentionRule) -> Retention:
    async def terms() -> Mapping[str, RetentionPeriods]:
        return {"things": RetentionPeriods(60)}

    return Retention(postgres, rules, terms, FakeClock(NOW))


async def left(postgres: Postgres) -> int:
    async with postgres.transaction(SYSTEM) as connection:
        return int(await connection.fetchval("SELECT count(*) FROM things"))


@dataclass
class Chunks:
    """The chunks that were tried, of which the driver gives up on those of more than `most`."""

    most: int = MOST
    limits: list[tuple[int, object]] = field(default_factory=list)
    """Size and time limit of each."""

    @property
    def sizes(self) -> list[int]:
        return [size for size, _ in self.limits]


@pytest.fixture
def chunks(monkeypatch: pytest.MonkeyPatch) -> Chunks:
    tried = Chunks()
    fetchrow = asyncpg.Connection.fetchrow

    async def impatient(connection: asyncpg.Connection, query: str, *args: Any, **options: Any) -> object:  # noqa: ANN401
        if "DELETE FROM things" in query:
            tried.limits.append((args[3], options["timeout"]))
            if args[3] > tried.most:
                raise TimeoutError
        return await fetchrow(connection, query, *args, **options)

    monkeypatch.setattr(asyncpg.Connection, "fetchrow", impatient)
    return tried


async def test_rows_go_although_the_database_cancels_large_chunks(things: Postgres) -> None:
    run = retention(things, _SLOW)
    assert await run.run() == {"things": ROWS}
    assert await left(things) == 0
    assert not await run.is_due()


async def test_rows_go_although_the_driver_gives_up_on_large_chunks(things: Postgres, chunks: Chunks) -> None:
    assert await retention(things, _ANY).run() == {"things": ROWS}
    assert await left(things) == 0
    assert chunks.sizes[:5] == [CHUNK, 250, 125, 62, 31]
    assert chunks.sizes[5] > 31
    assert len([size for size in chunks.sizes if size > MOST]) < len(chunks.sizes) / 2


async def test_what_cannot_be_made_smaller_has_more_time(things: Postgres, chunks: Chunks) -> None:
    chunks.most = 1
    async with things.transaction(SYSTEM) as connection:
        await connection.execute("DELETE FROM things WHERE thing_id > '019d4000-0000-7000-8000-000000000010'")
    assert await retention(things, _ANY).run() == {"things": 10}
    assert {size for size, limit in chunks.limits if limit is not None} == {1}
    assert {size for size, limit in chunks.limits if limit is None} == {CHUNK, 250, 125, 62, 31, 15, 7, 3, 2}


async def test_a_row_that_takes_too_long_alone_is_left_and_other_rules_go_on(things: Postgres) -> None:
    run = retention(things, _STUCK, _ANY)
    assert await run.run() == {"things": ROWS}
    assert await run.is_due()
