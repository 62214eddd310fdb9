"""Tenants, for the platform's administrators."""

# Generated from protos/soma/gateway/v1/identity_service.proto by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

from collections.abc import Sequence

from soma_client.calls import Caller
from soma_client.gen.google.protobuf import FieldMask
from soma_client.gen.soma.gateway import v1 as gateway_v1
from soma_client.paging import Pages


class TenantServiceMethods:
    """Tenants, for the platform's administrators."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create(
        self, tenant: gateway_v1.Tenant, *, request_id: str = "", timeout: float | None = None
    ) -> gateway_v1.Tenant:
        """Makes a tenant. Idempotent on request_id.

        Args:
            tenant: The tenant. Required.
            request_id: Makes the call idempotent; at most 128 characters.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = gateway_v1.CreateTenantRequest(tenant=tenant, request_id=request_id or self._caller.new_id())
        return await self._caller.unary(
            "/soma.gateway.v1.TenantService/CreateTenant", request, gateway_v1.Tenant, timeout
        )

    async def update(
        self,
        tenant_id: str,
        tenant: gateway_v1.Tenant,
        update_mask: Sequence[str],
        *,
        request_id: str = "",
        timeout: float | None = None,
    ) -> gateway_v1.Tenant:
        """Changes the fields of a tenant named in update_mask. Idempotent on request_id.

        Args:
            tenant_id: Id of the tenant. Required.
            tenant: New values; fields outside update_mask are ignored, those in it must be valid.
                Required.
            update_mask: Fields to change: "display_name", "plan", "permissions" as a whole, or a field
                of it such as "permissions.denied_tools"; "*" alone for all, which takes a whole tenant.
                Required.
            request_id: Makes the call idempotent; at most 128 characters.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = gateway_v1.UpdateTenantRequest(
            tenant_id=tenant_id,
            tenant=tenant,
            update_mask=FieldMask(paths=list(update_mask)),
            request_id=request_id or self._caller.new_id(),
        )
        return await self._caller.unary(
            "/soma.gateway.v1.TenantService/UpdateTenant", request, gateway_v1.Tenant, timeout
        )

    async def get(self, tenant_id: str, *, timeout: float | None = None) -> gateway_v1.Tenant:
        """Reads a tenant. Administrators of a tenant see their own.

        Args:
            tenant_id: Id of the tenant. Required.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = gateway_v1.GetTenantRequest(tenant_id=tenant_id)
        return await self._caller.unary("/soma.gateway.v1.TenantService/GetTenant", request, gateway_v1.Tenant, timeout)

    def list(
        self, *, page_size: int = 0, page_token: str = "", timeout: float | None = None
    ) -> Pages[gateway_v1.ListTenantsResponse, gateway_v1.Tenant]:
        """Lists tenants, ordered by id. Administrators of a tenant see their own.

        Args:
            page_size: Most entries a page, 1 to 500; 0 means 50.
            page_token: next_page_token of the page before.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """

        def request(token: str) -> gateway_v1.ListTenantsRequest:
            return gateway_v1.ListTenantsRequest(page_size=page_size, page_token=token)

        return Pages(
            self._caller,
            "/soma.gateway.v1.TenantService/ListTenants",
            request,
            gateway_v1.ListTenantsResponse,
            lambda page: page.tenants,
            page_token=page_token,
            timeout=timeout,
        )
