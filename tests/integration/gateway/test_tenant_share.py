"""Reading a tenant takes a connection of that tenant's share, not of the system's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.idempotency import NO_KEY
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing.audit import auditor
from svc_gateway.adapters.postgres.tenants import PostgresTenantStore
from tests.contract.gateway.test_key_store import tenant
from tests.integration.mesh.stores.test_pool_shares import held

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mesh.settings import PostgresSettings


async def test_reading_a_tenant_does_not_wait_for_the_system(
    database: Callable[..., Awaitable[PostgresSettings]],
) -> None:
    async with Postgres.open(await database("gateway", pool_max=8)) as postgres:
        tenants = PostgresTenantStore(postgres, auditor("gateway"))
        await tenants.add(tenant("acme"), NO_KEY)
        async with held(postgres, *[SYSTEM] * 6):
            assert await tenants.get("acme") == tenant("acme")
