"""Tenants, keys and tokens: what is audited, and a call of every method that is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from google.protobuf import field_mask_pb2

from mesh.context import Caller, use
from mesh.events.audit_queue import AuditQueue
from soma.gateway.v1 import identity_service_pb2
from soma.gateway.v1.permission_service_pb2 import TenantPermissions
from svc_gateway.adapters.postgres.keys import PostgresKeyStore
from svc_gateway.adapters.postgres.tenants import PostgresTenantStore
from svc_gateway.app.existing_key_feed import ExistingKeyFeed
from svc_gateway.app.key_set_signer import KeySetSigner
from svc_gateway.app.keys import ApiKeyUseCases, Tokens
from svc_gateway.app.permissions import Permissions
from svc_gateway.app.revoked_key_feed import RevokedKeyFeed
from svc_gateway.app.tenants import Tenants
from svc_gateway.rpc.api_key_service import ApiKeyServicer
from svc_gateway.rpc.tenant_service import TenantServicer
from svc_gateway.rpc.token_service import TokenServicer
from tests.integration.contexts.audit.observer import ALICE, CLOCK, IDS, SECRET, TENANT, AuditObserver, Call
from tests.integration.contexts.audit.table import ContextAudit, Entry

if TYPE_CHECKING:
    from pathlib import Path

    from mesh.events.audit import Auditor


class Minter:
    """Signs nothing."""

    async def mint(self, claims: object, ttl_s: float) -> str:
        return SECRET

    async def sign(self, payload: dict[str, object], typ: str) -> str:
        return SECRET


async def drive(observer: AuditObserver, auditor: Auditor, _: Path) -> None:
    """Tenants and keys."""
    store = PostgresKeyStore(observer.postgres, auditor)
    tenant_store = PostgresTenantStore(observer.postgres, auditor)
    tenants, permissions = Tenants(tenant_store, CLOCK), Permissions(tenant_store, store, "test")
    use_cases = ApiKeyUseCases(store, permissions, Minter(), "test", clock=CLOCK, ids=IDS)
    keys = ApiKeyServicer(
        use_cases, RevokedKeyFeed(store, CLOCK), ExistingKeyFeed(store, CLOCK), KeySetSigner(Minter(), CLOCK), tenants
    )
    new = identity_service_pb2.CreateTenantRequest(tenant=identity_service_pb2.Tenant(tenant_id="other", plan="pro"))
    await observer.call("soma.gateway.v1.TenantService", TenantServicer(tenants), "CreateTenant", new)
    update = identity_service_pb2.UpdateTenantRequest(
        tenant_id="other",
        tenant=identity_service_pb2.Tenant(permissions=TenantPermissions(personas=[SECRET])),
        update_mask=field_mask_pb2.FieldMask(paths=["permissions.personas"]),
    )
    await observer.call("soma.gateway.v1.TenantService", TenantServicer(tenants), "UpdateTenant", update)
    service = "soma.gateway.v1.ApiKeyService"
    wanted = identity_service_pb2.CreateApiKeyRequest(api_key=identity_service_pb2.ApiKey(display_name="ci"))
    made = await observer.call(service, keys, "CreateApiKey", wanted)
    audits = AuditQueue(auditor, observer.postgres, CLOCK, lambda: "policy")
    tokens = TokenServicer(Tokens(store, Minter(), audits.add, CLOCK))
    bearer = Caller(TENANT, "alice", ("member",), (), made.key_id, "token")  # type: ignore[attr-defined]
    with use(replace(ALICE, caller=bearer)):
        await tokens.CreateToken(identity_service_pb2.CreateTokenRequest(), cast("Any", Call()))
    await audits.flush()
    await observer.note("soma.gateway.v1.TokenService.CreateToken")
    gone = identity_service_pb2.RevokeApiKeyRequest(key_id=made.key_id)  # type: ignore[attr-defined]
    await observer.call(service, keys, "RevokeApiKey", gone)


AUDIT = ContextAudit(
    drive,
    audited={
        "TokenService.CreateToken": Entry("token.create", "token"),
        "ApiKeyService.CreateApiKey": Entry("api_key.write", "api_key"),
        "ApiKeyService.RevokeApiKey": Entry("api_key.write", "api_key"),
        "TenantService.CreateTenant": Entry("tenant.write", "tenant"),
        "TenantService.UpdateTenant": Entry("tenant.write", "tenant"),
    },
)
