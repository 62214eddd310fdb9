"""What every store of keys tells of those that were made, in memory and in Postgres alike."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.idempotency import NO_KEY, RequestKey
from mesh.stores.postgres import Postgres
from mesh.testing.audit import auditor
from mesh.testing.contract import eventually
from svc_gateway.adapters.postgres.keys import REVOKED_CHANNEL, PostgresKeyStore
from svc_gateway.domain.keys import CreatedKey
from tests.contract.gateway.test_key_store import MIGRATIONS, NOW, key
from tests.in_memory.gateway import InMemoryKeyStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from soma_local.testing import engines
    from svc_gateway.app.ports import KeyStore


@pytest.fixture(params=["memory", "postgres"])
async def keys(request: pytest.FixtureRequest, databases: engines.Databases) -> AsyncIterator[KeyStore]:
    if request.param == "memory":
        yield InMemoryKeyStore(max_created_keys=9)
        return
    async with Postgres.open(await databases.fresh("gateway", [MIGRATIONS])) as postgres:
        yield PostgresKeyStore(postgres, auditor("gateway"), max_created_keys=9)


async def test_keys_of_all_tenants_are_read_page_by_page_in_the_order_of_their_creation(keys: KeyStore) -> None:
    made = [replace(key(f"tenant-{n % 2}"), created_at=NOW + timedelta(seconds=n // 3)) for n in range(7)]
    for kept in reversed(made):
        await keys.add(kept, NO_KEY)
    await keys.revoke(made[2].tenant_id, made[2].key_id, NOW)
    found: list[CreatedKey] = []
    since, after = NOW, ""
    while page := await keys.list_created(since, after, 2):
        assert len(page) <= 2
        found += page
        since, after = page[-1].created_at, page[-1].key_id
    assert found == [CreatedKey(kept.key_id, kept.tenant_id, kept.created_at, kept.expires_at) for kept in made]
    assert [item.key_id for item in await keys.list_created(NOW + timedelta(seconds=1), "", 9)] == [
        kept.key_id for kept in made[3:]
    ]


async def test_a_tenant_makes_so_many_keys_within_a_month_whatever_became_of_them(keys: KeyStore) -> None:
    made = [replace(key(life=timedelta(seconds=1)), created_at=NOW + timedelta(days=day)) for day in range(9)]
    for kept in made:
        await keys.add(kept, NO_KEY)
    await keys.revoke("acme", made[0].key_id, NOW)
    late = replace(key(), created_at=NOW + timedelta(days=29))
    with pytest.raises(SomaError, match="9 API keys") as refused:
        await keys.add(late, RequestKey.for_request("again", b"digest"))
    assert refused.value.reason is Reason.RATE_LIMITED
    assert await keys.get("acme", late.key_id) is None
    await keys.add(key("other"), NO_KEY)
    assert (
        await keys.add(replace(late, created_at=NOW + timedelta(days=31)), RequestKey.for_request("again", b"digest"))
        is None
    )


async def test_listener_hears_of_a_new_key(keys: KeyStore) -> None:
    heard = asyncio.Event()
    async with asyncio.timeout(20), keys.listen_created(heard.set):
        if isinstance(keys, PostgresKeyStore):
            await heard.wait()  # it is connected, and something may have been missed before
        heard.clear()
        await keys.add(key(), NO_KEY)
        await heard.wait()


async def test_a_key_that_is_revoked_again_tells_nobody(databases: engines.Databases) -> None:
    heard: list[str] = []
    async with Postgres.open(await databases.fresh("gateway", [MIGRATIONS])) as postgres:
        store = PostgresKeyStore(postgres, auditor("gateway"))
        first, second = key(), key()
        for kept in (first, second):
            await store.add(kept, NO_KEY)
        async with postgres.listen(REVOKED_CHANNEL, heard.append):
            await eventually(lambda: bool(heard))  # it is connected
            heard.clear()
            for kept in (first, first, second):
                await store.revoke("acme", kept.key_id, NOW)
            await eventually(lambda: second.key_id in heard)
    assert heard == [first.key_id, second.key_id]
