"""Which capabilities exist, for whom, how healthy."""

# Generated from protos/soma/registry/v1/capability_service.proto by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

from collections.abc import Sequence

from soma_client.calls import Caller
from soma_client.gen.google.protobuf import FieldMask
from soma_client.gen.soma.common import v1 as common_v1
from soma_client.gen.soma.registry import v1 as registry_v1
from soma_client.paging import Pages


class CapabilityServiceMethods:
    """Which capabilities exist, for whom, how healthy."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def register(
        self, capability: registry_v1.Capability, *, request_id: str = "", timeout: float | None = None
    ) -> registry_v1.Capability:
        """Registers a capability, or replaces it when its version matches. Idempotent on request_id.

        Args:
            capability: The capability. Required.
            request_id: Makes the call idempotent; at most 128 characters.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = registry_v1.RegisterCapabilityRequest(
            capability=capability, request_id=request_id or self._caller.new_id()
        )
        return await self._caller.unary(
            "/soma.registry.v1.CapabilityService/RegisterCapability", request, registry_v1.Capability, timeout
        )

    async def get(
        self, capability_id: str, *, owner_tenant_id: str = "", timeout: float | None = None
    ) -> registry_v1.Capability:
        """Reads one capability the caller's tenant may see.

        Args:
            capability_id: "<tool_id>@<provider>". Required.
            owner_tenant_id: Tenant whose private capability is meant, for platform administrators and
                services; for others their own tenant or empty. Empty: the platform's, or for a tenant
                its own of this id.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = registry_v1.GetCapabilityRequest(capability_id=capability_id, owner_tenant_id=owner_tenant_id)
        return await self._caller.unary(
            "/soma.registry.v1.CapabilityService/GetCapability", request, registry_v1.Capability, timeout
        )

    def list(
        self,
        *,
        modality: common_v1.Modality = common_v1.Modality(0),
        task_type: str = "",
        kind: registry_v1.CapabilityKind = registry_v1.CapabilityKind(0),
        provider: str = "",
        health_state: registry_v1.HealthState = registry_v1.HealthState(0),
        include_disabled: bool = False,
        page_size: int = 0,
        page_token: str = "",
        adapter: str = "",
        timeout: float | None = None,
    ) -> Pages[registry_v1.ListCapabilitiesResponse, registry_v1.Capability]:
        """Lists the capabilities the caller's tenant may see, ordered by capability_id.

        Args:
            modality: Only these modalities.
            task_type: Only this task type.
            kind: Only this kind.
            provider: Only this provider.
            health_state: Only this health.
            include_disabled: Also DISABLED ones.
            page_size: Most entries a page, 1 to 500; 0 means 50.
            page_token: next_page_token of the page before; the filters must be the same.
            adapter: Only those that this adapter of the executor serves.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """

        def request(token: str) -> registry_v1.ListCapabilitiesRequest:
            return registry_v1.ListCapabilitiesRequest(
                modality=modality,
                task_type=task_type,
                kind=kind,
                provider=provider,
                health_state=health_state,
                include_disabled=include_disabled,
                page_size=page_size,
                page_token=token,
                adapter=adapter,
            )

        return Pages(
            self._caller,
            "/soma.registry.v1.CapabilityService/ListCapabilities",
            request,
            registry_v1.ListCapabilitiesResponse,
            lambda page: page.capabilities,
            page_token=page_token,
            timeout=timeout,
        )

    async def update(
        self,
        capability_id: str,
        capability: registry_v1.Capability,
        update_mask: Sequence[str],
        *,
        request_id: str = "",
        owner_tenant_id: str = "",
        timeout: float | None = None,
    ) -> registry_v1.Capability:
        """Changes the fields named in update_mask.

        Args:
            capability_id: Which one. Required.
            capability: New values. Fields that update_mask names must be valid as in
                RegisterCapability, the others are ignored. Required.
            update_mask: Top-level fields to change, at least one; "*" alone for all that may change.
                Required.
            request_id: Makes the call idempotent; at most 128 characters.
            owner_tenant_id: Tenant whose private capability is meant, for platform administrators and
                services; for others their own tenant or empty. Empty: the platform's, or for a tenant
                its own of this id.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = registry_v1.UpdateCapabilityRequest(
            capability_id=capability_id,
            capability=capability,
            update_mask=FieldMask(paths=list(update_mask)),
            request_id=request_id or self._caller.new_id(),
            owner_tenant_id=owner_tenant_id,
        )
        return await self._caller.unary(
            "/soma.registry.v1.CapabilityService/UpdateCapability", request, registry_v1.Capability, timeout
        )

    async def disable(
        self, capability_id: str, *, request_id: str = "", owner_tenant_id: str = "", timeout: float | None = None
    ) -> registry_v1.Capability:
        """Sets the lifecycle to DISABLED; what was chosen before goes on.

        Args:
            capability_id: Which one. Required.
            request_id: Makes the call idempotent; at most 128 characters.
            owner_tenant_id: Tenant whose private capability is meant, for platform administrators and
                services; for others their own tenant or empty. Empty: the platform's, or for a tenant
                its own of this id.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = registry_v1.DisableCapabilityRequest(
            capability_id=capability_id, request_id=request_id or self._caller.new_id(), owner_tenant_id=owner_tenant_id
        )
        return await self._caller.unary(
            "/soma.registry.v1.CapabilityService/DisableCapability", request, registry_v1.Capability, timeout
        )

    async def delete(
        self,
        capability_id: str,
        *,
        request_id: str = "",
        owner_tenant_id: str = "",
        version: int = 0,
        timeout: float | None = None,
    ) -> registry_v1.Capability:
        """Deletes a capability: it is no longer listed or chosen, and what was chosen before goes on. The
        record is kept for the term of retention; registering the id again in this time continues its
        versions. What ships with the mesh stays deleted when its service starts again, until somebody
        registers it.

        Args:
            capability_id: Which one. Required.
            request_id: Makes the call idempotent; at most 128 characters.
            owner_tenant_id: Tenant whose private capability is meant, for platform administrators and
                services; for others their own tenant or empty. Empty: the platform's, or for a tenant
                its own of this id.
            version: The version that was read, to detect a lost race; 0: whatever the version is.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = registry_v1.DeleteCapabilityRequest(
            capability_id=capability_id,
            request_id=request_id or self._caller.new_id(),
            owner_tenant_id=owner_tenant_id,
            version=version,
        )
        return await self._caller.unary(
            "/soma.registry.v1.CapabilityService/DeleteCapability", request, registry_v1.Capability, timeout
        )

    async def reset_failures(
        self, capability_id: str, *, request_id: str = "", owner_tenant_id: str = "", timeout: float | None = None
    ) -> registry_v1.Capability:
        """Forgets failures: health becomes UNKNOWN and the capability may be tried again.

        Args:
            capability_id: Which one. Required.
            request_id: Makes the call idempotent; at most 128 characters.
            owner_tenant_id: Tenant whose private capability is meant, for platform administrators and
                services; for others their own tenant or empty. Empty: the platform's, or for a tenant
                its own of this id.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = registry_v1.ResetFailuresRequest(
            capability_id=capability_id, request_id=request_id or self._caller.new_id(), owner_tenant_id=owner_tenant_id
        )
        return await self._caller.unary(
            "/soma.registry.v1.CapabilityService/ResetFailures", request, registry_v1.Capability, timeout
        )

    async def get_ladder(
        self, modality: common_v1.Modality, task_type: str, *, timeout: float | None = None
    ) -> registry_v1.Ladder:
        """Reads the ladder in force for the caller's tenant.

        Args:
            modality: Modality. Required.
            task_type: Task type. Required.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = registry_v1.GetLadderRequest(modality=modality, task_type=task_type)
        return await self._caller.unary(
            "/soma.registry.v1.CapabilityService/GetLadder", request, registry_v1.Ladder, timeout
        )

    def list_ladders(
        self, *, page_size: int = 0, page_token: str = "", timeout: float | None = None
    ) -> Pages[registry_v1.ListLaddersResponse, registry_v1.Ladder]:
        """Lists the ladders in force for the caller's tenant.

        Args:
            page_size: Most entries a page, 1 to 500; 0 means 50.
            page_token: next_page_token of the page before.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """

        def request(token: str) -> registry_v1.ListLaddersRequest:
            return registry_v1.ListLaddersRequest(page_size=page_size, page_token=token)

        return Pages(
            self._caller,
            "/soma.registry.v1.CapabilityService/ListLadders",
            request,
            registry_v1.ListLaddersResponse,
            lambda page: page.ladders,
            page_token=page_token,
            timeout=timeout,
        )

    async def set_ladder(
        self, ladder: registry_v1.Ladder, *, request_id: str = "", timeout: float | None = None
    ) -> registry_v1.Ladder:
        """Sets the tenant's own ladder; an empty list gives up the override.

        Args:
            ladder: The ladder. Required.
            request_id: Makes the call idempotent; at most 128 characters.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = registry_v1.SetLadderRequest(ladder=ladder, request_id=request_id or self._caller.new_id())
        return await self._caller.unary(
            "/soma.registry.v1.CapabilityService/SetLadder", request, registry_v1.Ladder, timeout
        )
