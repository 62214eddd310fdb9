"""Sessions whose client's host is lost: the server ends them, however it is set itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing.contract import eventually

if TYPE_CHECKING:
    import pytest

    from tests.conftest import Database

TRY_LOCK = "SELECT pg_try_advisory_xact_lock(1)"


async def test_each_session_limits_how_long_its_transactions_are_idle_and_probes_its_client(postgres: Postgres) -> None:
    async with postgres.transaction(SYSTEM) as connection:
        found = await connection.fetch(
            "SELECT name, reset_val::integer AS value, source FROM pg_settings"
            " WHERE name LIKE 'tcp_keepalives_%' OR name = 'idle_in_transaction_session_timeout'"
        )
    assert {row["name"]: (row["value"], row["source"]) for row in found} == {
        "idle_in_transaction_session_timeout": (60_000, "client"),
        "tcp_keepalives_idle": (30, "client"),
        "tcp_keepalives_interval": (10, "client"),
        "tcp_keepalives_count": (3, "client"),
    }


async def test_locks_of_a_transaction_whose_client_sends_nothing_more_get_free(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = await database("probe")
    monkeypatch.setattr("mesh.stores.postgres._IDLE_IN_TRANSACTION_TIMEOUT", "200ms")
    async with Postgres.open(settings) as silent:
        monkeypatch.undo()
        connection = await silent._acquire(SYSTEM)
        await connection.execute("BEGIN; SELECT pg_advisory_xact_lock(1)")
        async with Postgres.open(settings) as other:

            async def is_free() -> bool:
                async with other.transaction(SYSTEM) as asking:
                    return bool(await asking.fetchval(TRY_LOCK))

            await eventually(is_free)
        await silent._release(connection, SYSTEM)
