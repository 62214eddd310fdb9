"""What every store of keys tells of those that were made, in memory and in Postgres alike."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.stores.postgres import Postgres
from mesh.testing.audit import auditor
from soma.events.v1.audit_pb2 import AuditRecorded
from svc_gateway.adapters.memory import MemoryKeys
from svc_gateway.adapters.postgres import PostgresKeys
from svc_gateway.domain.keys import CreatedKey
from tests.contract.gateway.test_key_store import MIGRATIONS, NONE, NOW, key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.testing import engines
    from svc_gateway.domain.keys import KeyStore


@pytest.fixture(params=["memory", "postgres"])
async def keys(request: pytest.FixtureRequest, databases: engines.Databases) -> AsyncIterator[KeyStore]:
    if request.param == "memory":
        yield MemoryKeys()
        return
    async with Postgres.open(await databases.fresh("gateway", [MIGRATIONS])) as postgres:
        yield PostgresKeys(postgres, auditor("gateway", AuditRecorded))


async def test_keys_of_all_tenants_are_read_page_by_page_in_the_order_of_their_creation(keys: KeyStore) -> None:
    made = [replace(key(f"tenant-{n % 2}"), created_at=NOW + timedelta(seconds=n // 3)) for n in range(7)]
    for kept in reversed(made):
        await keys.add(kept, NONE)
    await keys.revoke(made[2].tenant_id, made[2].key_id, NOW)
    found: list[CreatedKey] = []
    since, after = NOW, ""
    while page := await keys.created(since, after, 2):
        assert len(page) <= 2
        found += page
        since, after = page[-1].created_at, page[-1].key_id
    assert found == [CreatedKey(kept.key_id, kept.tenant_id, kept.created_at, kept.expires_at) for kept in made]
    assert [item.key_id for item in await keys.created(NOW + timedelta(seconds=1), "", 9)] == [
        kept.key_id for kept in made[3:]
    ]


async def test_listener_hears_of_a_new_key(keys: KeyStore) -> None:
    heard = asyncio.Event()
    async with asyncio.timeout(20), keys.listen_created(heard.set):
        if isinstance(keys, PostgresKeys):
            await heard.wait()  # it is connected, and something may have been missed before
        heard.clear()
        await keys.add(key(), NONE)
        await heard.wait()
