"""Each engine starts from its wheel, keeps its data over kill -9, and stops."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import asyncpg
import httpx
import pytest
import redis.asyncio
from temporalio.client import Client

from soma_local.engines import EnvoyEngine, OpenBaoEngine, PostgresEngine, TemporalEngine, ValkeyEngine
from soma_local.identity import ProcessIdentity
from soma_local.ports import port_is_free

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from soma_local.engines import Engine


@pytest.fixture
async def started() -> AsyncIterator[Callable[[Engine], Awaitable[None]]]:
    """Starts engines and stops them after the test."""
    engines: list[Engine] = []

    async def start(engine: Engine) -> None:
        engines.append(engine)
        await engine.start()

    yield start
    await asyncio.gather(*(engine.stop() for engine in engines))


async def _kill_and_restart(engine: Engine) -> None:
    os.kill(engine.pid or 0, signal.SIGKILL)
    assert await engine.wait() == -signal.SIGKILL
    await engine.start()


async def test_postgres_keeps_committed_rows_over_a_kill(
    tmp_path: Path, started: Callable[..., Awaitable[None]]
) -> None:
    engine = PostgresEngine(tmp_path)
    await started(engine)
    port = engine.port
    connection = await asyncpg.connect(engine.dsn)
    await connection.execute("CREATE TABLE kept (value text)")
    await connection.execute("INSERT INTO kept VALUES ('here')")
    await _kill_and_restart(engine)
    assert engine.port == port
    connection.terminate()
    again = await asyncpg.connect(engine.dsn)
    assert await again.fetchval("SELECT value FROM kept") == "here"
    await again.close()


async def test_postgres_refuses_a_wrong_password(tmp_path: Path, started: Callable[..., Awaitable[None]]) -> None:
    engine = PostgresEngine(tmp_path)
    await started(engine)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(engine.dsn_of("postgres", password="wrong"))


async def test_postgres_does_not_run_as_root(tmp_path: Path, started: Callable[..., Awaitable[None]]) -> None:
    engine = PostgresEngine(tmp_path)
    await started(engine)
    connection = await asyncpg.connect(engine.dsn)
    owner = (tmp_path / "data" / "postgres" / "cluster").stat().st_uid
    await connection.close()
    assert owner != 0


async def test_postgres_starts_over_the_lock_of_a_reused_pid(
    tmp_path: Path, started: Callable[..., Awaitable[None]]
) -> None:
    engine = PostgresEngine(tmp_path)
    await started(engine)
    await engine.stop()
    lock = tmp_path / "data" / "postgres" / "cluster" / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n/elsewhere\n0\n1\n\n\n")
    await engine.start()
    assert await engine.ready()


async def test_postgres_has_vectors(tmp_path: Path, started: Callable[..., Awaitable[None]]) -> None:
    engine = PostgresEngine(tmp_path)
    await started(engine)
    connection = await asyncpg.connect(engine.dsn)
    await connection.execute("CREATE EXTENSION vector")
    assert await connection.fetchval("SELECT ('[1,0]'::vector <-> '[1,2]'::vector)") == 2
    await connection.close()


async def test_valkey_keeps_writes_over_a_kill(tmp_path: Path, started: Callable[..., Awaitable[None]]) -> None:
    engine = ValkeyEngine(tmp_path)
    await started(engine)
    async with redis.asyncio.from_url(engine.url) as client:
        await client.set("kept", "here")
        await client.config_set("appendfsync", "always")
        await client.set("kept", "still here")
    await _kill_and_restart(engine)
    async with redis.asyncio.from_url(engine.url) as client:
        assert await client.get("kept") == b"still here"


async def test_valkey_refuses_without_the_password(tmp_path: Path, started: Callable[..., Awaitable[None]]) -> None:
    engine = ValkeyEngine(tmp_path)
    await started(engine)
    async with redis.asyncio.from_url(f"redis://{engine.address}") as client:
        with pytest.raises(redis.exceptions.AuthenticationError):
            await client.ping()


async def test_temporal_keeps_workflows_over_a_kill(tmp_path: Path, started: Callable[..., Awaitable[None]]) -> None:
    engine = TemporalEngine(tmp_path)
    await started(engine)
    client = await Client.connect(engine.address)
    await client.start_workflow("Nobody", id="kept", task_queue="nobody")
    await _kill_and_restart(engine)
    client = await Client.connect(engine.address)
    assert (await client.get_workflow_handle("kept").describe()).workflow_type == "Nobody"


async def test_openbao_unseals_itself_and_keeps_secrets_over_a_kill(
    tmp_path: Path, started: Callable[..., Awaitable[None]]
) -> None:
    engine = OpenBaoEngine(tmp_path)
    await started(engine)
    headers = {"X-Vault-Token": engine.root_token}
    async with httpx.AsyncClient(base_url=engine.url, headers=headers, timeout=20) as client:
        (
            await client.post("/v1/sys/mounts/secret", json={"type": "kv", "options": {"version": "2"}})
        ).raise_for_status()
        (await client.post("/v1/secret/data/kept", json={"data": {"value": "here"}})).raise_for_status()
        await _kill_and_restart(engine)
        answer = await client.get("/v1/secret/data/kept")
    assert answer.json()["data"]["data"] == {"value": "here"}
    assert (tmp_path / "secrets" / "openbao-root-token").stat().st_mode & 0o777 == 0o600


async def test_openbao_starts_afresh_when_it_was_killed_while_it_was_initialised(
    tmp_path: Path, started: Callable[..., Awaitable[None]]
) -> None:
    engine = OpenBaoEngine(tmp_path)
    await started(engine)
    await engine.stop()
    (tmp_path / "data" / "openbao" / "initialising").touch()
    (tmp_path / "secrets" / "openbao-root-token").unlink()
    await engine.start()
    assert engine.root_token


async def test_envoy_starts_with_its_bootstrap(tmp_path: Path, started: Callable[..., Awaitable[None]]) -> None:
    def bootstrap(admin_port: int) -> dict[str, object]:
        return {"admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin_port}}}}

    engine = EnvoyEngine(tmp_path, bootstrap)
    await started(engine)
    await _kill_and_restart(engine)
    assert await engine.ready()


async def test_an_engine_left_behind_is_ended_by_the_next_start(
    tmp_path: Path, started: Callable[..., Awaitable[None]]
) -> None:
    left = ValkeyEngine(tmp_path)
    await started(left)
    identity = ProcessIdentity.for_pid(left.pid or 0)
    assert identity is not None
    following = ValkeyEngine(tmp_path)
    await started(following)
    assert not identity.alive()
    assert await following.ready()


async def test_an_engine_takes_another_port_when_its_own_is_taken(
    tmp_path: Path, started: Callable[..., Awaitable[None]]
) -> None:
    engine = ValkeyEngine(tmp_path)
    await started(engine)
    port = engine.port
    await engine.stop()
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
    async with server:
        assert not port_is_free(port)
        await engine.start()
        assert engine.port != port
