"""What a caller may use: the tenant's permissions, narrowed by its key."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import protovalidate
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from mesh.context import Caller
from mesh.errors import Reason, SomaError
from mesh.idempotency import NO_KEY
from mesh.identity import Claims
from mesh.ids import SystemIds
from mesh.rpc.interceptor import Call, MethodInfo
from mesh.rpc.interceptors.validation import Validation
from mesh.testing import FakeClock, acting_as
from soma.gateway.v1 import identity_service_pb2, permission_service_pb2
from svc_gateway.app.keys import ApiKeyUseCases, KeySpec
from svc_gateway.app.permissions import Permissions
from svc_gateway.app.tenants import Tenants
from svc_gateway.domain.keys import ApiKey
from svc_gateway.rpc.permission_service import PermissionServicer
from svc_gateway.rpc.tenant_service import TenantServicer
from tests.in_memory.gateway import InMemoryKeyStore, InMemoryTenantStore

if TYPE_CHECKING:
    from svc_gateway.rpc.tenant_service import Context

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALICE = Caller("acme", "alice", ("admin",), (), "k", "token")
granted = permission_service_pb2.TenantPermissions
NAMED = granted(personas=["writer", "analyst"], capsules=["reports"], max_cost_tier="low")


class Minter:
    """Signs nothing."""

    async def mint(self, claims: Claims, ttl_s: float) -> str:
        return "jws"


class Gateway:
    """The use cases over stores in memory, with a key `k` of the tenant acme."""

    def __init__(self, profile: str = "production") -> None:
        clock, self.keys, tenants = FakeClock(), InMemoryKeyStore(), InMemoryTenantStore()
        self.permissions = Permissions(tenants, self.keys, profile)
        self.creation = ApiKeyUseCases(self.keys, self.permissions, Minter(), "test", clock=clock, ids=SystemIds())
        self.tenants = TenantServicer(Tenants(tenants, clock))

    async def key(self, *personas: str) -> None:
        key = ApiKey("k", "acme", "", "alice", ("admin",), NOW, NOW + timedelta(days=1), "alice", None, personas)
        await self.keys.add(key, NO_KEY)

    async def tenant(self, plan: str = "", permissions: permission_service_pb2.TenantPermissions | None = None) -> None:
        tenant = identity_service_pb2.Tenant(tenant_id="acme", plan=plan, permissions=permissions)
        await self.tenants.CreateTenant(identity_service_pb2.CreateTenantRequest(tenant=tenant), cast("Context", None))

    async def update(self, tenant: identity_service_pb2.Tenant, *paths: str) -> identity_service_pb2.Tenant:
        request = identity_service_pb2.UpdateTenantRequest(
            tenant_id="acme", tenant=tenant, update_mask=FieldMask(paths=paths)
        )
        method = MethodInfo("soma.gateway.v1.TenantService", "UpdateTenant", False, False, None)
        call = Call(method, request, context=cast("Any", None), metadata={})

        async def continuation(_: Call) -> object:
            return await self.tenants.UpdateTenant(request, cast("Context", None))

        answer = await Validation(protovalidate.Validator()).intercept(call, continuation)
        return cast("identity_service_pb2.Tenant", answer)

    async def effective(self, key_id: str = "k") -> permission_service_pb2.EffectivePermissions:
        with acting_as(Claims("acme", "alice", ("member",), key_id=key_id)):
            return await PermissionServicer(self.permissions).GetEffectivePermissions(
                permission_service_pb2.GetEffectivePermissionsRequest(), cast("Context", None)
            )


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


async def test_tenant_created_without_a_plan_has_none(gateway: Gateway) -> None:
    await gateway.tenant()
    await gateway.key()
    assert (await gateway.effective()).plan == "none"


@pytest.mark.parametrize(
    ("plan", "profile", "counts"),
    [
        ("dev", "production", "none"),
        ("dev", "dev", "dev"),
        ("dev", "test", "dev"),
        ("pro", "production", "pro"),
        ("enterprise", "production", "enterprise"),
    ],
)
async def test_plan_for_development_counts_in_development_and_tests(plan: str, profile: str, counts: str) -> None:
    gateway = Gateway(profile)
    await gateway.tenant(plan)
    await gateway.key()
    assert (await gateway.effective()).plan == counts


async def test_without_permissions_nothing_may_be_named_and_nothing_is_denied(gateway: Gateway) -> None:
    await gateway.tenant("pro")
    await gateway.key()
    found = await gateway.effective()
    assert (list(found.personas), list(found.capsules), list(found.denied_tools)) == ([], [], [])
    assert (found.max_cost_tier, found.data_classification_floor) == ("", "public")
    assert found.HasField("max_asset_bytes")


async def test_key_narrows_the_tenant(gateway: Gateway) -> None:
    await gateway.tenant("pro", NAMED)
    await gateway.key("writer", "gone")
    found = await gateway.effective()
    assert (list(found.personas), list(found.capsules)) == (["writer"], ["reports"])


async def test_key_whose_names_the_tenant_lost_may_name_none(gateway: Gateway) -> None:
    await gateway.tenant("pro", NAMED)
    await gateway.key("gone")
    assert list((await gateway.effective()).personas) == []


async def test_unknown_or_revoked_key_has_no_permissions(gateway: Gateway) -> None:
    await gateway.tenant("pro")
    await gateway.key()
    await gateway.keys.revoke("acme", "k", NOW)
    for key_id in ("k", "unknown"):
        with pytest.raises(SomaError) as refused:
            await gateway.effective(key_id)
        assert refused.value.reason is Reason.UNAUTHENTICATED


async def test_key_is_never_wider_than_its_tenant(gateway: Gateway) -> None:
    await gateway.tenant("pro", NAMED)
    with pytest.raises(SomaError) as refused:
        await gateway.creation.create(ALICE, KeySpec("ci", personas=("writer", "boss")))
    assert refused.value.reason is Reason.PERMISSION_DENIED
    assert "boss" in refused.value.message


async def test_key_is_never_wider_than_the_key_that_creates_it(gateway: Gateway) -> None:
    await gateway.tenant("pro", NAMED)
    await gateway.key("writer")
    with pytest.raises(SomaError) as refused:
        await gateway.creation.create(ALICE, KeySpec("ci", personas=("analyst",)))
    assert refused.value.reason is Reason.PERMISSION_DENIED
    assert (await gateway.creation.create(ALICE, KeySpec("ci"))).key.personas == ("writer",)


async def test_platforms_administrator_narrows_keys_of_others_by_their_tenant(gateway: Gateway) -> None:
    await gateway.tenant("pro", NAMED)
    root = replace(ALICE, tenant_id="platform", roles=("member", "platform_admin"))
    made = await gateway.creation.create(root, KeySpec("ci", tenant_id="acme", personas=("analyst",)))
    assert made.key.personas == ("analyst",)


async def test_update_changes_what_the_mask_names(gateway: Gateway) -> None:
    await gateway.tenant("pro", NAMED)
    offered = identity_service_pb2.Tenant(
        plan="enterprise", permissions=granted(personas=["boss"], max_cost_tier="high")
    )
    after = await gateway.update(offered, "permissions.personas")
    assert (after.plan, list(after.permissions.personas), after.permissions.max_cost_tier) == ("pro", ["boss"], "low")
    after = await gateway.update(offered, "plan", "permissions")
    assert (after.plan, list(after.permissions.capsules), after.permissions.max_cost_tier) == ("enterprise", [], "high")
    after = await gateway.update(identity_service_pb2.Tenant(tenant_id="acme"), "*")
    assert (after.plan, after.display_name, list(after.permissions.personas)) == ("none", "acme", [])


@pytest.mark.parametrize(
    "path", ["tenant_id", "create_time", "permissions.nothing", "permissions.max_asset_bytes.image"]
)
async def test_what_cannot_be_changed_is_named(gateway: Gateway, path: str) -> None:
    await gateway.tenant("pro")
    with pytest.raises(SomaError) as refused:
        await gateway.update(identity_service_pb2.Tenant(), path)
    assert refused.value.reason is Reason.INVALID_ARGUMENT


async def test_masked_fields_are_validated_by_the_contract(gateway: Gateway) -> None:
    await gateway.tenant("pro")
    wrong = identity_service_pb2.Tenant(plan="free", permissions=granted(max_cost_tier="cheap"))
    assert (await gateway.update(wrong, "display_name")).plan == "pro"
    with pytest.raises(SomaError) as refused:
        await gateway.update(wrong, "plan", "permissions.max_cost_tier")
    fields = [violation.field for violation in refused.value.fields]
    assert fields == ["tenant.plan", "tenant.permissions.max_cost_tier"]


async def test_unknown_tenant_is_not_found(gateway: Gateway) -> None:
    with pytest.raises(SomaError) as refused:
        await gateway.update(identity_service_pb2.Tenant(plan="pro"), "plan")
    assert refused.value.reason is Reason.NOT_FOUND
