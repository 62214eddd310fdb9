"""A request is kept with what it writes, in one transaction: both are there, or neither is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.idempotency import NO_KEY, RequestKey
from mesh.settings import PostgresSettings
from mesh.stores.idempotency import RepeatedRequestError, RequestTable
from mesh.stores.postgres import Postgres
from mesh.testing.contract import eventually

if TYPE_CHECKING:
    from pathlib import Path

Database = Callable[..., Awaitable[PostgresSettings]]
_TABLES = """
-- migrate:up
CREATE TABLE things (thing_id text PRIMARY KEY, tenant_id text NOT NULL);
CREATE TABLE thing_requests (
    tenant_id text NOT NULL,
    request_id text NOT NULL,
    digest text NOT NULL,
    thing_id text NOT NULL,
    PRIMARY KEY (tenant_id, request_id)
);
ALTER TABLE thing_requests ENABLE ROW LEVEL SECURITY;
ALTER TABLE thing_requests FORCE ROW LEVEL SECURITY;
CREATE POLICY requests_tenant ON thing_requests USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
-- migrate:down
DROP TABLE thing_requests;
DROP TABLE things;
"""
REQUESTS = RequestTable("thing_requests", "thing_id")
ONE, ANOTHER = RequestKey.for_request("r", b"one"), RequestKey.for_request("r", b"another")


@pytest.fixture
async def store(database: Database, tmp_path: Path) -> AsyncIterator[Postgres]:
    (tmp_path / "20260101000000_things.sql").write_text(_TABLES)
    async with Postgres.open(await database("things", tmp_path, pool_max=6)) as opened:
        yield opened


async def make(store: Postgres, key: RequestKey, name: str, tenant: str = "acme") -> str:
    """Writes a thing, once for each key; what it is called."""
    async with store.transaction(tenant) as connection:
        earlier = await REQUESTS.record(connection, tenant, key, name)
        if earlier is None:
            await connection.execute("INSERT INTO things VALUES ($1, $2)", name, tenant)
        return earlier or name


async def things(store: Postgres) -> int:
    async with store.transaction("acme") as connection:
        return int(await connection.fetchval("SELECT count(*) FROM things"))


async def test_a_repeat_gets_what_the_first_one_wrote(store: Postgres) -> None:
    assert [await make(store, ONE, name) for name in ("a", "b")] == ["a", "a"]
    async with store.transaction("acme") as connection:
        assert await REQUESTS.written_before(connection, "acme", ONE) == "a"
        assert await REQUESTS.written_before(connection, "acme", RequestKey.for_request("other")) is None


async def test_the_id_of_another_request_is_refused(store: Postgres) -> None:
    await make(store, ONE, "a")
    for use in (REQUESTS.written_before, lambda *which: REQUESTS.record(*which, "b")):
        async with store.transaction("acme") as connection:
            with pytest.raises(SomaError) as refused:
                await use(connection, "acme", ANOTHER)
            assert refused.value.reason is Reason.IDEMPOTENCY_MISMATCH
    assert await things(store) == 1


async def test_a_repeat_where_a_new_request_is_needed_ends_the_transaction(store: Postgres) -> None:
    async def write(name: str) -> None:
        async with store.transaction("acme") as connection:
            await connection.execute("INSERT INTO things VALUES ($1, 'acme')", name)
            await REQUESTS.record_new(connection, "acme", ONE, name)

    await write("a")
    with pytest.raises(RepeatedRequestError):
        await write("b")
    assert await things(store) == 1


async def test_without_an_id_each_call_writes(store: Postgres) -> None:
    assert [await make(store, NO_KEY, name) for name in ("a", "b")] == ["a", "b"]
    async with store.transaction("acme") as connection:
        assert await REQUESTS.written_before(connection, "acme", NO_KEY) is None


async def test_the_same_id_of_another_tenant_is_another_request(store: Postgres) -> None:
    assert await make(store, ONE, "a") == "a"
    assert await make(store, ANOTHER, "b", "umbrella") == "b"


async def test_a_transaction_that_fails_keeps_neither(store: Postgres) -> None:
    async def fail() -> None:
        async with store.transaction("acme") as connection:
            await REQUESTS.record(connection, "acme", ONE, "a")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        await fail()
    assert await make(store, ONE, "b") == "b"


async def test_of_many_at_once_one_writes_and_all_get_what_it_wrote(store: Postgres) -> None:
    names = await asyncio.gather(*(make(store, ONE, f"thing-{number}") for number in range(12)))
    assert len(set(names)) == 1
    assert await things(store) == 1


async def test_one_that_comes_while_the_first_is_being_written_waits_for_its_end(store: Postgres) -> None:
    async with store.transaction("acme") as connection:
        await REQUESTS.record(connection, "acme", ONE, "a")
        waiting = asyncio.create_task(make(store, ONE, "b"))

        async def waits() -> bool:
            async with store.transaction("*") as observer:  # one transaction sees the activity of its first look
                return bool(await observer.fetchval(_WAITING))

        await eventually(waits)
        assert not waiting.done()
    assert await waiting == "a"


_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%thing_requests%'"
