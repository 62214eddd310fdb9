"""What every store of keys and tenants must do, in memory and in Postgres alike."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.idempotency import NO_KEY, RequestKey
from mesh.ids import SystemIds
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing.audit import auditor
from mesh.testing.contract import eventually
from svc_gateway.adapters.postgres import keys as postgres_keys
from svc_gateway.adapters.postgres.keys import PostgresKeyStore
from svc_gateway.adapters.postgres.tenants import PostgresTenantStore
from svc_gateway.domain.keys import ApiKey, Tenant
from svc_gateway.domain.permissions import AssetByteLimits, TenantPermissions
from tests.in_memory import gateway as in_memory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from soma_local.testing import engines
    from svc_gateway.app.ports import KeyStore, TenantStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MIGRATIONS = Path(__file__).parent.parent.parent.parent / "svc_gateway" / "migrations"
_IDS = SystemIds()


@pytest.fixture(params=["memory", "postgres"])
async def stores(
    request: pytest.FixtureRequest, databases: engines.Databases
) -> AsyncIterator[tuple[KeyStore, TenantStore]]:
    if request.param == "memory":
        yield in_memory.InMemoryKeyStore(), in_memory.InMemoryTenantStore()
        return
    async with Postgres.open(await databases.fresh("gateway", [MIGRATIONS])) as postgres:
        audits = auditor("gateway")
        yield PostgresKeyStore(postgres, audits), PostgresTenantStore(postgres, audits)


@pytest.fixture
def keys(stores: tuple[KeyStore, TenantStore]) -> KeyStore:
    return stores[0]


@pytest.fixture
def tenants(stores: tuple[KeyStore, TenantStore]) -> TenantStore:
    return stores[1]


def key(tenant: str = "acme", *, life: timedelta = timedelta(days=1)) -> ApiKey:
    return ApiKey(_IDS.new(), tenant, "ci", "robot", ("member", "viewer"), NOW, NOW + life, "alice")


async def test_key_comes_back_as_it_was_kept(keys: KeyStore) -> None:
    kept = key()
    assert await keys.add(kept, NO_KEY) is None
    assert await keys.get("acme", kept.key_id) == kept


async def test_key_of_another_tenant_is_not_there(keys: KeyStore) -> None:
    kept = key()
    await keys.add(kept, NO_KEY)
    assert await keys.get("other", kept.key_id) is None
    assert await keys.revoke("other", kept.key_id, NOW) is None
    assert (await keys.list("other", None, "", 10)).keys == []
    assert await keys.list_revocations(NOW) == []


async def test_same_request_keeps_one_key(keys: KeyStore) -> None:
    first, second = key(), key()
    request = RequestKey.for_request("r", b"digest")
    assert await keys.add(first, request) is None
    assert await keys.add(second, request) == first
    assert await keys.get("acme", second.key_id) is None


async def test_request_with_another_body_is_refused(keys: KeyStore) -> None:
    await keys.add(key(), RequestKey.for_request("r", b"digest"))
    with pytest.raises(SomaError) as refused:
        await keys.add(key(), RequestKey.for_request("r", b"other"))
    assert refused.value.reason is Reason.IDEMPOTENCY_MISMATCH


async def test_key_of_a_request_is_found_by_it(keys: KeyStore) -> None:
    kept, request = key(), RequestKey.for_request("r", b"digest")
    assert await keys.find_by_request("acme", request) is None
    await keys.add(kept, request)
    assert await keys.find_by_request("acme", request) == kept
    assert await keys.find_by_request("other", request) is None
    with pytest.raises(SomaError) as refused:
        await keys.find_by_request("acme", RequestKey.for_request("r", b"other"))
    assert refused.value.reason is Reason.IDEMPOTENCY_MISMATCH


async def test_without_a_request_id_nothing_was_made_before(keys: KeyStore) -> None:
    assert (await keys.add(key(), NO_KEY), await keys.find_by_request("acme", NO_KEY)) == (None, None)


async def test_tenants_choose_request_ids_independently(keys: KeyStore) -> None:
    request = RequestKey.for_request("r", b"digest")
    assert await keys.add(key("acme"), request) is None
    assert await keys.add(key("other"), request) is None


async def test_concurrent_requests_keep_one_key(keys: KeyStore) -> None:
    request = RequestKey.for_request("r", b"digest")
    made = await asyncio.gather(*(keys.add(key(), request) for _ in range(8)))
    assert made.count(None) == 1
    assert len((await keys.list("acme", None, "", 10)).keys) == 1


async def test_pages_are_newest_first(keys: KeyStore) -> None:
    made = [key() for _ in range(5)]
    for kept in made:
        await keys.add(kept, NO_KEY)
    newest = sorted((kept.key_id for kept in made), reverse=True)
    first = await keys.list("acme", None, "", 2)
    rest = await keys.list("acme", None, first.next_cursor, 10)
    assert [kept.key_id for kept in [*first.keys, *rest.keys]] == newest
    assert (first.next_cursor, rest.next_cursor) == (newest[1], "")


@pytest.mark.parametrize("usable", [0, 3])
async def test_page_of_usable_keys_looks_at_no_more_than_some(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch, usable: int
) -> None:
    for module in (in_memory, postgres_keys):
        monkeypatch.setattr(module, "MAX_SCANNED_KEYS", 4)
    wanted = [key() for _ in range(usable)]
    for kept in (*wanted, *(key(life=timedelta(0)) for _ in range(9))):
        await keys.add(kept, NO_KEY)
    found: list[ApiKey] = []
    end, pages = "", 0
    while pages == 0 or end:
        page = await keys.list("acme", NOW, end, 2)
        found, end, pages = [*found, *page.keys], page.next_cursor, pages + 1
    assert [kept.key_id for kept in found] == sorted((kept.key_id for kept in wanted), reverse=True)
    assert pages >= 3


async def test_a_page_that_is_full_before_an_unusable_key_has_a_next_one(keys: KeyStore) -> None:
    made = sorted((key() for _ in range(4)), key=lambda kept: kept.key_id)
    made[1] = replace(made[1], expires_at=NOW)
    for kept in made:
        await keys.add(kept, NO_KEY)
    newest = [kept.key_id for kept in (made[3], made[2], made[0])]
    first = await keys.list("acme", NOW, "", 2)
    assert [kept.key_id for kept in first.keys] == newest[:2]
    rest = await keys.list("acme", NOW, first.next_cursor, 2)
    assert ([kept.key_id for kept in rest.keys], rest.next_cursor) == (newest[2:], "")


async def test_only_usable_keys_are_listed_when_asked(keys: KeyStore) -> None:
    good, expired, revoked = key(), key(life=timedelta(hours=1)), key()
    for kept in (good, expired, revoked):
        await keys.add(kept, NO_KEY)
    await keys.revoke("acme", revoked.key_id, NOW)
    assert (await keys.list("acme", NOW + timedelta(hours=2), "", 10)).keys == [good]
    assert len((await keys.list("acme", None, "", 10)).keys) == 3


async def test_first_revocation_counts(keys: KeyStore) -> None:
    kept = key()
    await keys.add(kept, NO_KEY)
    first = await keys.revoke("acme", kept.key_id, NOW)
    again = await keys.revoke("acme", kept.key_id, NOW + timedelta(hours=1))
    assert first is not None
    assert (first.revoked_at, again) == (NOW, first)


async def test_only_later_revocations_are_read_when_asked(keys: KeyStore) -> None:
    early, late = key(), key()
    for kept, moment in ((early, NOW), (late, NOW + timedelta(hours=1))):
        await keys.add(kept, NO_KEY)
        await keys.revoke("acme", kept.key_id, moment)
    found = await keys.list_revocations(NOW, NOW + timedelta(minutes=30))
    assert [item.key_id for item in found] == [late.key_id]


async def test_revocations_of_all_tenants_are_told_until_they_expire(keys: KeyStore) -> None:
    made = [key("acme"), key("other")]
    for kept in made:
        await keys.add(kept, NO_KEY)
        await keys.revoke(kept.tenant_id, kept.key_id, NOW)
    assert {item.key_id for item in await keys.list_revocations(NOW)} == {kept.key_id for kept in made}
    assert await keys.list_revocations(NOW + timedelta(days=2)) == []


async def test_listener_hears_a_revocation(keys: KeyStore) -> None:
    kept = key()
    await keys.add(kept, NO_KEY)
    heard = asyncio.Event()
    async with keys.listen_revoked(heard.set):
        heard.clear()
        await keys.revoke("acme", kept.key_id, NOW)
        async with asyncio.timeout(20):
            await heard.wait()


def tenant(name: str) -> Tenant:
    return Tenant(name, name.title(), "pro", NOW)


async def test_tenant_comes_back_as_it_was_kept(tenants: TenantStore) -> None:
    assert await tenants.add(tenant("acme"), NO_KEY) is None
    assert await tenants.get("acme") == tenant("acme")
    assert await tenants.get("other") is None


async def test_tenant_id_is_taken_once(tenants: TenantStore) -> None:
    await tenants.add(tenant("acme"), NO_KEY)
    with pytest.raises(SomaError) as refused:
        await tenants.add(tenant("acme"), RequestKey.for_request("another", b"digest"))
    assert refused.value.reason is Reason.ALREADY_EXISTS


async def test_same_request_makes_one_tenant(tenants: TenantStore) -> None:
    await tenants.add(tenant("acme"), RequestKey.for_request("r", b"digest"))
    assert await tenants.add(tenant("acme"), RequestKey.for_request("r", b"digest")) == tenant("acme")
    with pytest.raises(SomaError) as refused:
        await tenants.add(tenant("other"), RequestKey.for_request("r", b"other"))
    assert refused.value.reason is Reason.IDEMPOTENCY_MISMATCH


async def test_concurrent_requests_make_one_tenant(tenants: TenantStore) -> None:
    request = RequestKey.for_request("r", b"digest")
    made = await asyncio.gather(*(tenants.add(tenant("acme"), request) for _ in range(8)))
    assert sorted(made, key=bool) == [None, *[tenant("acme")] * 7]


async def test_request_that_lost_to_itself_gets_the_tenant(databases: engines.Databases) -> None:
    """Neither of two saw the other's request id, and one waits for the other's tenant id."""
    async with Postgres.open(await databases.fresh("gateway", [MIGRATIONS])) as postgres:
        store = PostgresTenantStore(postgres, auditor("gateway"))
        async with postgres.transaction(SYSTEM) as winner:
            await winner.execute(
                "INSERT INTO tenants VALUES ($1, $2, $3, $4, NULL, $5)", "acme", "Acme", "pro", NOW, "digest"
            )
            loser = asyncio.create_task(store.add(tenant("acme"), RequestKey.for_request("r", b"digest")))

            async def waits() -> bool:
                mine = (
                    "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
                )
                return bool(await winner.fetchval(mine))

            await eventually(waits)
            await winner.execute("UPDATE tenants SET request_id = 'r'")
        assert await loser == tenant("acme")


PERMISSIONS = TenantPermissions(("openai",), ("x",), "low", "internal", ("p",), ("c",), AssetByteLimits(image=5))


async def test_permissions_come_back_as_they_were_kept(keys: KeyStore, tenants: TenantStore) -> None:
    kept, narrowed = replace(tenant("acme"), permissions=PERMISSIONS), replace(key(), personas=("p",), capsules=("c",))
    await tenants.add(kept, NO_KEY)
    await keys.add(narrowed, NO_KEY)
    assert await tenants.get("acme") == kept
    assert await keys.get("acme", narrowed.key_id) == narrowed


def upgrade(before: Tenant) -> Tenant:
    return replace(before, plan="enterprise", permissions=PERMISSIONS)


async def test_tenant_is_changed(tenants: TenantStore) -> None:
    await tenants.add(tenant("acme"), NO_KEY)
    assert await tenants.update("acme", upgrade, NO_KEY, NOW) == upgrade(tenant("acme"))
    assert await tenants.get("acme") == upgrade(tenant("acme"))
    assert await tenants.update("other", upgrade, NO_KEY, NOW) is None


async def test_repeated_update_changes_nothing_and_gets_its_answer(tenants: TenantStore) -> None:
    await tenants.add(tenant("acme"), NO_KEY)
    request = RequestKey.for_request("r", b"digest")
    answer = await tenants.update("acme", upgrade, request, NOW)
    await tenants.update("acme", lambda before: replace(before, plan="none"), NO_KEY, NOW)
    assert await tenants.update("acme", upgrade, request, NOW) == answer
    assert (await tenants.get("acme") or answer) != answer
    with pytest.raises(SomaError) as refused:
        await tenants.update("acme", upgrade, RequestKey.for_request("r", b"other"), NOW)
    assert refused.value.reason is Reason.IDEMPOTENCY_MISMATCH


async def test_tenants_are_listed_in_order(tenants: TenantStore) -> None:
    for name in ("c", "a-b", "ab", "a"):
        await tenants.add(tenant(f"x{name}"), NO_KEY)
    first = await tenants.list("", 2)
    rest = await tenants.list(first[-1].tenant_id, 10)
    assert [item.tenant_id for item in [*first, *rest]] == ["xa", "xa-b", "xab", "xc"]
