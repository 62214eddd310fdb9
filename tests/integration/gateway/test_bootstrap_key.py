"""Replicas of the gateway that start at the same moment on an empty database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.errors import Reason, SomaError
from mesh.ids import SystemIds
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing import Issuer
from mesh.testing.audit import auditor
from svc_gateway.adapters.key_file import LocalKeyFile
from svc_gateway.adapters.postgres.bootstrap_key_lock import bootstrap_key_lock
from svc_gateway.adapters.postgres.keys import PostgresKeyStore
from svc_gateway.adapters.postgres.tenants import PostgresTenantStore
from svc_gateway.app.bootstrap_key import ensure_bootstrap_key
from svc_gateway.app.keys import ApiKeyUseCases
from svc_gateway.app.permissions import Permissions
from svc_gateway.app.tenants import Tenants

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mesh.context import Caller
    from tests.conftest import Database

REPLICAS = 3
CLOCK, IDS = SystemClock(), SystemIds()


@pytest.fixture
async def database_of_gateway(database: Database) -> AsyncIterator[Postgres]:
    async with Postgres.open(await database("gateway")) as postgres:
        yield postgres


async def test_replicas_that_start_together_make_one_tenant_and_one_key(
    database_of_gateway: Postgres, tmp_path: Path
) -> None:
    postgres, issuer = database_of_gateway, await Issuer.create(CLOCK)
    audits = auditor("gateway")
    key_store, tenant_store = PostgresKeyStore(postgres, audits), PostgresTenantStore(postgres, audits)
    keys = ApiKeyUseCases(
        key_store, Permissions(tenant_store, key_store, "dev"), issuer.minter, "dev", clock=CLOCK, ids=IDS
    )

    async def verify(secret: str) -> Caller:
        return issuer.verifier.verify(secret)

    async def replica() -> None:
        file = LocalKeyFile(tmp_path / "key")
        lock = bootstrap_key_lock(postgres)
        await ensure_bootstrap_key(
            "dev", "dev", file, lock=lock, keys=keys, tenants=Tenants(tenant_store, CLOCK), verify=verify
        )

    await asyncio.gather(*(replica() for _ in range(REPLICAS)))
    async with postgres.transaction(SYSTEM) as connection:
        made = await connection.fetch("SELECT key_id FROM api_keys")
    assert [row["key_id"] for row in made] == [(await verify(LocalKeyFile(tmp_path / "key").read())).key_id]


async def test_a_replica_that_fails_to_make_the_key_lets_the_next_one_try(database_of_gateway: Postgres) -> None:
    with pytest.raises(SomaError):
        async with bootstrap_key_lock(database_of_gateway):
            raise SomaError(Reason.UNAVAILABLE, "no signature")
    async with bootstrap_key_lock(database_of_gateway):
        pass
