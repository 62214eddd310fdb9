"""Postgres: tenancy, errors, bounds."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import asyncpg
import pytest

from mesh.context import Caller, RequestContext, use
from mesh.errors import Reason, SomaError
from mesh.settings import PostgresSettings
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing import FakeClock
from mesh.testing.contract import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from soma_local.engines import PostgresEngine

Database = Callable[..., Awaitable[PostgresSettings]]

_TABLE = """
-- migrate:up
CREATE TABLE notes (id text PRIMARY KEY, tenant_id text NOT NULL, body jsonb NOT NULL);
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
ALTER TABLE notes FORCE ROW LEVEL SECURITY;
CREATE POLICY notes_tenant ON notes USING (current_setting('soma.tenant_id', true) IN (tenant_id::text, '*'));
-- migrate:down
DROP TABLE notes;
"""


@pytest.fixture(scope="session")
def migrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notes")
    (folder / "20260101000000_notes.sql").write_text(_TABLE)
    return folder


@pytest.fixture
async def store(database: Database, migrations: Path) -> AsyncIterator[Postgres]:
    async with Postgres.open(await database("notes", migrations, pool_max=2)) as opened:
        yield opened


@pytest.fixture
async def hasty(database: Database, migrations: Path) -> AsyncIterator[Postgres]:
    """A store that soon gives up waiting for a connection."""
    async with Postgres.open(await database("notes", migrations, pool_max=2, acquire_timeout_s=0.3)) as opened:
        yield opened


async def add(store: Postgres, tenant: str, id_: str, as_tenant: str | None = None) -> None:
    async with store.transaction(as_tenant or tenant) as connection:
        await connection.execute("INSERT INTO notes VALUES ($1, $2, $3)", id_, tenant, {"text": id_})


async def ids(store: Postgres, tenant: str | None) -> list[str]:
    async with store.transaction(tenant) as connection:
        return [row["id"] for row in await connection.fetch("SELECT id FROM notes ORDER BY id")]


async def reason_of_refusal(store: Postgres) -> Reason:
    with pytest.raises(SomaError) as caught:
        await ids(store, "a")
    return caught.value.reason


def request_of(tenant: str) -> RequestContext:
    return RequestContext(Caller(tenant, "ann", (), (), "k1", "t"), "r1", "t1")


async def test_a_tenant_sees_its_own_rows_alone(store: Postgres) -> None:
    await add(store, "a", "a1")
    await add(store, "b", "b1")
    assert await ids(store, "a") == ["a1"]


async def test_system_work_sees_all_tenants(store: Postgres) -> None:
    await add(store, "a", "a1")
    await add(store, "b", "b1")
    assert await ids(store, SYSTEM) == ["a1", "b1"]


async def test_a_row_of_another_tenant_cannot_be_written(store: Postgres) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await add(store, "b", "b1", as_tenant="a")


async def test_the_tenant_is_the_callers_when_none_is_named(store: Postgres) -> None:
    await add(store, "a", "a1")
    with use(request_of("a")):
        assert await ids(store, None) == ["a1"]


@pytest.mark.parametrize("tenant", ["", SYSTEM])
async def test_a_caller_cannot_pass_as_the_system(store: Postgres, tenant: str) -> None:
    with use(request_of(tenant)), pytest.raises(SomaError) as caught:
        await ids(store, None)
    assert caught.value.reason is Reason.PERMISSION_DENIED


async def test_the_tenant_does_not_outlive_its_transaction(store: Postgres) -> None:
    await add(store, "a", "a1")
    connection = await store._pool.acquire()
    try:
        assert await connection.fetch("SELECT * FROM notes") == []
    finally:
        await store._pool.release(connection)


async def test_an_error_rolls_back(store: Postgres) -> None:
    async def fail() -> None:
        async with store.transaction("a") as connection:
            await connection.execute("INSERT INTO notes VALUES ('a1', 'a', $1)", {})
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await fail()
    assert await ids(store, "a") == []


async def test_json_comes_back_as_it_went(store: Postgres) -> None:
    await add(store, "a", "a1")
    async with store.transaction("a") as connection:
        assert await connection.fetchval("SELECT body FROM notes") == {"text": "a1"}


async def test_a_violated_constraint_is_left_to_the_adapter(store: Postgres) -> None:
    await add(store, "a", "a1")
    with pytest.raises(asyncpg.UniqueViolationError):
        await add(store, "a", "a1")


async def test_an_exhausted_pool_answers_overloaded(hasty: Postgres) -> None:
    async with hasty.transaction("a"), hasty.transaction("a"):
        assert await reason_of_refusal(hasty) is Reason.OVERLOADED


async def test_a_pool_exhausted_by_a_silent_server_is_an_unavailable_dependency(
    database: Database, migrations: Path
) -> None:
    clock = FakeClock()
    settings = await database("notes", migrations, pool_max=2, acquire_timeout_s=0.3)
    async with Postgres.open(settings, clock) as opened, opened.transaction("a"), opened.transaction("a"):
        await clock.advance(1.9)
        assert await reason_of_refusal(opened) is Reason.OVERLOADED
        await clock.advance(0.2)
        assert await reason_of_refusal(opened) is Reason.DEPENDENCY_UNAVAILABLE


async def test_a_pool_is_not_called_silent_for_having_been_idle(database: Database, migrations: Path) -> None:
    clock = FakeClock()
    settings = await database("notes", migrations, pool_max=2, acquire_timeout_s=0.3)
    async with Postgres.open(settings, clock) as opened:
        await clock.advance(3_600)
        answers = await asyncio.gather(*(ids(opened, "a") for _ in range(100)), return_exceptions=True)
    refused = [answer.reason for answer in answers if isinstance(answer, SomaError)]
    assert refused
    assert set(refused) == {Reason.OVERLOADED}


async def test_waiters_are_bounded(hasty: Postgres) -> None:
    async with hasty.transaction("a"), hasty.transaction("a"):
        results = await asyncio.gather(*(ids(hasty, "a") for _ in range(100)), return_exceptions=True)
    assert {type(result) for result in results} == {SomaError}
    assert hasty._slots.waiting == 0


async def test_a_lost_race_is_a_conflict(store: Postgres) -> None:
    await add(store, "a", "a1")
    await add(store, "a", "a2")
    met = asyncio.Barrier(2)

    async def cross(first: str, second: str) -> None:
        async with store.transaction("a") as connection:
            await connection.fetch("SELECT * FROM notes WHERE id = $1 FOR UPDATE", first)
            await met.wait()
            await connection.fetch("SELECT * FROM notes WHERE id = $1 FOR UPDATE", second)

    results = await asyncio.gather(cross("a1", "a2"), cross("a2", "a1"), return_exceptions=True)
    [failure] = [result for result in results if result is not None]
    assert isinstance(failure, SomaError)
    assert failure.reason is Reason.CONFLICT


async def test_a_killed_session_is_an_unavailable_dependency_and_the_pool_recovers(store: Postgres) -> None:
    async def end_own_session() -> None:
        async with store.transaction("a") as connection:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(SomaError) as caught:
        await end_own_session()
    assert caught.value.reason is Reason.DEPENDENCY_UNAVAILABLE
    assert await ids(store, "a") == []


async def test_a_stopped_server_is_an_unavailable_dependency(store: Postgres, postgres_engine: PostgresEngine) -> None:
    await store.ping()
    assert postgres_engine.pid is not None
    os.kill(postgres_engine.pid, signal.SIGINT)

    async def ask_until_it_fails() -> None:
        while True:
            await store.ping()

    try:
        with pytest.raises(SomaError) as caught:
            await ask_until_it_fails()
        assert caught.value.reason is Reason.DEPENDENCY_UNAVAILABLE
    finally:  # every other test needs it
        await postgres_engine.stop()
        await postgres_engine.start()
    await store.ping()


async def test_a_connection_lost_while_it_is_given_back_fails_nobody(store: Postgres) -> None:
    connection = await store._acquire("a")
    await connection.execute("BEGIN")  # so that giving it back needs an answer
    async with store.transaction(SYSTEM) as other:
        lost = connection.get_server_pid()
        assert await other.fetchval("SELECT pg_terminate_backend($1, 5000)", lost)
    await store._release(connection, "a")
    await store.ping()


async def test_a_statement_ends_soon_after_its_client_was_killed(store: Postgres) -> None:
    """Otherwise what a killed consumer had claimed stays claimed until its last statement is over."""
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'"

    async def asleep() -> bool:
        async with store.transaction(SYSTEM) as connection:
            return bool(await connection.fetchval(sleeping))

    async def awake() -> bool:
        return not await asleep()

    async def sleep(connection: asyncpg.Connection) -> None:
        with pytest.raises(asyncpg.PostgresConnectionError):
            await connection.execute("SELECT pg_sleep(600)")

    connection = await store._acquire("a")
    waiting = asyncio.create_task(sleep(connection))
    await eventually(asleep)
    connection.terminate()
    await waiting
    await store._release(connection, "a")
    await eventually(awake)


async def test_notifications_arrive_and_the_listener_survives_its_connection(store: Postgres) -> None:
    received: asyncio.Queue[str] = asyncio.Queue()
    async with store.listen("news", received.put_nowait), asyncio.timeout(20):
        assert await received.get() == ""
        async with store.transaction(SYSTEM) as connection:
            await connection.execute("SELECT pg_notify('news', 'one')")
        assert await received.get() == "one"
        async with store.transaction(SYSTEM) as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND query LIKE 'LISTEN%' AND usename = current_user"
            )
        assert await received.get() == ""
        async with store.transaction(SYSTEM) as connection:
            await connection.execute("SELECT pg_notify('news', $1)", json.dumps(2))
        assert await received.get() == "2"
