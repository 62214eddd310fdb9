"""TenantService: convert, call, convert back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import caller
from mesh.rpc.paging import cursor_of, cursor_token, page_size
from mesh.rpc.request_keys import request_key
from soma.gateway.v1 import identity_service_pb2 as pb
from soma.gateway.v1 import identity_service_pb2_grpc as pb_grpc
from svc_gateway.domain.tenants import masked_fields
from svc_gateway.rpc.convert import permissions_from_proto, tenant_to_proto

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc.aio

    from svc_gateway.app.tenants import Tenants

    Context = grpc.aio.ServicerContext[object, object]


class TenantServicer(pb_grpc.TenantServiceServicer):
    """Tenants."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants

    async def CreateTenant(self, request: pb.CreateTenantRequest, context: Context) -> pb.Tenant:
        """Creates a tenant."""
        tenant = request.tenant
        permissions = permissions_from_proto(tenant.permissions)
        created = await self._tenants.create(
            tenant.tenant_id, tenant.display_name, tenant.plan, await request_key(request), permissions
        )
        return tenant_to_proto(created)

    async def UpdateTenant(self, request: pb.UpdateTenantRequest, context: Context) -> pb.Tenant:
        """Changes the fields of the mask."""
        paths = masked_fields(request.update_mask.paths)
        changes = self._changes(request.tenant, paths)
        return tenant_to_proto(await self._tenants.update(request.tenant_id, changes, await request_key(request)))

    @staticmethod
    def _changes(tenant: pb.Tenant, paths: Sequence[str]) -> dict[str, object]:
        """Returns the new values by path; the interceptors have validated them by the rules of the proto."""
        permissions = permissions_from_proto(tenant.permissions)
        values = {"display_name": tenant.display_name, "plan": tenant.plan, "permissions": permissions}
        return {
            path: values[path] if path in values else getattr(permissions, path.rpartition(".")[2]) for path in paths
        }

    async def GetTenant(self, request: pb.GetTenantRequest, context: Context) -> pb.Tenant:
        """Returns a tenant."""
        return tenant_to_proto(await self._tenants.get(caller(), request.tenant_id))

    async def ListTenants(self, request: pb.ListTenantsRequest, context: Context) -> pb.ListTenantsResponse:
        """Lists tenants."""
        page = await self._tenants.list(caller(), page_size(request), cursor_of(request))
        token = cursor_token(request, page.next_cursor) if page.next_cursor else ""
        tenants = [tenant_to_proto(tenant) for tenant in page.tenants]
        return pb.ListTenantsResponse(tenants=tenants, next_page_token=token)
