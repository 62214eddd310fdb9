"""Databases and secrets are prepared once, and each context gets no more than its own."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import asyncpg
import httpx
import pytest

from mesh import contexts
from mesh.stores.migrations import migrate
from soma_local import databases, vault
from soma_local.engines import OpenBaoEngine, PostgresEngine
from soma_local.home import Home

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DECLARED = contexts.named(["gateway", "registry"])
CONTEXTS = [context.name for context in DECLARED]


@pytest.fixture(scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("provisioned"))


@pytest.fixture(scope="module")
async def postgres(home: Home) -> AsyncIterator[PostgresEngine]:
    engine = PostgresEngine(home, durable=False)
    await engine.start()
    await databases.provision(home, engine, CONTEXTS)
    yield engine
    await engine.stop()


@pytest.fixture(scope="module")
async def openbao(home: Home) -> AsyncIterator[OpenBaoEngine]:
    engine = OpenBaoEngine(home)
    await engine.start()
    async with vault.Vault.open(engine.url, engine.root_token) as store:
        await vault.provision(home, store, DECLARED)
    yield engine
    await engine.stop()


def _as(engine: OpenBaoEngine, token: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"{engine.url}/v1", headers={"X-Vault-Token": token}, timeout=20)


def _token(home: Home, context: str) -> str:
    return (home.secrets / f"vault-token-{context}").read_text()


async def test_databases_are_prepared_again_without_harm(home: Home, postgres: PostgresEngine) -> None:
    before = databases.dsn_of(home, postgres, "gateway")
    await databases.provision(home, postgres, CONTEXTS)
    assert databases.dsn_of(home, postgres, "gateway") == before


async def test_a_context_changes_rows_of_its_own_schema_alone(
    home: Home, postgres: PostgresEngine, tmp_path: Path
) -> None:
    migration = tmp_path / "20300101000000_things.sql"
    migration.write_text("-- migrate:up\nCREATE TABLE things (name text);\n-- migrate:down\nDROP TABLE things;\n")
    owner = databases.dsn_of(home, postgres, databases.MIGRATOR)
    for context in CONTEXTS:
        await migrate(owner, context, [tmp_path])
    connection = await asyncpg.connect(databases.dsn_of(home, postgres, "gateway"))
    await connection.execute("INSERT INTO things VALUES ('mine')")
    for forbidden in ("SELECT * FROM registry.things", "DROP TABLE things", "CREATE TABLE more (name text)"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(forbidden)
    await connection.close()


async def test_a_contexts_role_is_bound_by_row_level_security(home: Home, postgres: PostgresEngine) -> None:
    connection = await asyncpg.connect(postgres.dsn)
    rows = await connection.fetch(
        "SELECT rolname, rolsuper OR rolbypassrls OR rolcreaterole AS unbound FROM pg_roles WHERE rolname = ANY($1)",
        [*CONTEXTS, databases.MIGRATOR],
    )
    await connection.close()
    assert {row["rolname"]: row["unbound"] for row in rows} == dict.fromkeys([*CONTEXTS, databases.MIGRATOR], False)


async def test_secrets_are_prepared_again_without_replacing_key_or_token(home: Home, openbao: OpenBaoEngine) -> None:
    token = _token(home, "gateway")
    async with vault.Vault.open(openbao.url, openbao.root_token) as store:
        keys = await store.public_keys(vault.IDENTITY_KEY)
        await vault.provision(home, store, DECLARED)
        assert await store.public_keys(vault.IDENTITY_KEY) == keys
    assert _token(home, "gateway") == token


async def test_a_secret_is_written_once(openbao: OpenBaoEngine) -> None:
    async with vault.Vault.open(openbao.url, openbao.root_token) as store:
        assert await store.write_once("gateway/example", {"value": "first"})
        assert not await store.write_once("gateway/example", {"value": "second"})


async def test_a_context_reads_its_own_secrets_alone(home: Home, openbao: OpenBaoEngine) -> None:
    async with vault.Vault.open(openbao.url, openbao.root_token) as store:
        await store.write_once("gateway/own", {"value": "mine"})
    async with _as(openbao, _token(home, "gateway")) as client:
        assert (await client.get("/secret/data/gateway/own")).status_code == 200
    async with _as(openbao, _token(home, "registry")) as client:
        assert (await client.get("/secret/data/gateway/own")).status_code == 403


async def test_a_context_signs_but_cannot_administer(home: Home, openbao: OpenBaoEngine) -> None:
    async with _as(openbao, _token(home, "registry")) as client:
        signed = await client.post(f"/transit/sign/{vault.IDENTITY_KEY}", json={"input": "aGVsbG8="})
        refused = await client.post(f"/transit/keys/{vault.IDENTITY_KEY}/rotate")
        mounts = await client.get("/sys/mounts")
    assert (signed.status_code, refused.status_code, mounts.status_code) == (200, 403, 403)


async def test_a_token_is_private_and_made_again_when_it_is_revoked(home: Home, openbao: OpenBaoEngine) -> None:
    file = home.secrets / "vault-token-registry"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    lost = file.read_text()
    async with _as(openbao, openbao.root_token) as client:
        (await client.post("/auth/token/revoke", json={"token": lost})).raise_for_status()
    async with vault.Vault.open(openbao.url, openbao.root_token) as store:
        await vault.provision(home, store, DECLARED)
    async with _as(openbao, file.read_text()) as client:
        assert (await client.get("/auth/token/lookup-self")).status_code == 200
