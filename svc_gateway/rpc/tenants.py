"""TenantService: convert, call, convert back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import caller
from mesh.rpc.paging import cursor_of, cursor_token, page_size
from mesh.rpc.request_keys import request_key
from mesh.rpc.wellknown import timestamp
from soma.gateway.v1 import identity_service_pb2 as pb
from soma.gateway.v1 import identity_service_pb2_grpc as pb_grpc
from svc_gateway.domain.tenants import masked
from svc_gateway.rpc.permissions import permissions_from_proto, permissions_to_proto

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc.aio

    from svc_gateway.app.tenants import Tenants
    from svc_gateway.domain.keys import Tenant

    Context = grpc.aio.ServicerContext[object, object]


class TenantServicer(pb_grpc.TenantServiceServicer):
    """Tenants."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants

    async def CreateTenant(self, request: pb.CreateTenantRequest, context: Context) -> pb.Tenant:
        """Makes a tenant."""
        wanted = request.tenant
        permissions = permissions_from_proto(wanted.permissions)
        made = await self._tenants.create(
            wanted.tenant_id, wanted.display_name, wanted.plan, await request_key(request), permissions
        )
        return _tenant_to_proto(made)

    async def UpdateTenant(self, request: pb.UpdateTenantRequest, context: Context) -> pb.Tenant:
        """Changes the fields of the mask."""
        paths = masked(request.update_mask.paths)
        changes = self._changes(request.tenant, paths)
        return _tenant_to_proto(await self._tenants.update(request.tenant_id, changes, await request_key(request)))

    @staticmethod
    def _changes(offered: pb.Tenant, paths: Sequence[str]) -> dict[str, object]:
        """The new values by path; the chain has checked them by the contract."""
        permissions = permissions_from_proto(offered.permissions)
        values = {"display_name": offered.display_name, "plan": offered.plan, "permissions": permissions}
        return {
            path: values[path] if path in values else getattr(permissions, path.rpartition(".")[2]) for path in paths
        }

    async def GetTenant(self, request: pb.GetTenantRequest, context: Context) -> pb.Tenant:
        """Reads a tenant."""
        return _tenant_to_proto(await self._tenants.get(caller(), request.tenant_id))

    async def ListTenants(self, request: pb.ListTenantsRequest, context: Context) -> pb.ListTenantsResponse:
        """Lists tenants."""
        page = await self._tenants.list(caller(), page_size(request), cursor_of(request))
        token = cursor_token(request, page.end) if page.end else ""
        tenants = [_tenant_to_proto(tenant) for tenant in page.tenants]
        return pb.ListTenantsResponse(tenants=tenants, next_page_token=token)


def _tenant_to_proto(tenant: Tenant) -> pb.Tenant:
    return pb.Tenant(
        tenant_id=tenant.tenant_id,
        display_name=tenant.display_name,
        plan=tenant.plan,
        create_time=timestamp(tenant.created_at),
        permissions=permissions_to_proto(tenant.permissions),
    )
