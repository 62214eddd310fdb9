"""Whether a capability sends data to other hosts, whatever its definition says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.addresses import is_remote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from svc_registry.domain.model import Capability


def with_needs_egress(capability: Capability, platform: Iterable[Capability]) -> Capability:
    """Returns the capability with `needs_egress` set where it is required; `platform` are the platform's capabilities.

    It is required for an endpoint on another machine, and for a private capability in these cases:

    - A platform capability of the same adapter needs egress, and not both of them have an endpoint of their own.
    - It has no endpoint and a platform capability of the same adapter has one: the adapter's default host is unknown.
    - The platform has no capability of that adapter: only the tenant says what the adapter does.
    """
    if capability.constraints.needs_egress:
        return capability
    required = is_remote(capability.endpoint) or (capability.tenant_id and _adapter_needs_egress(capability, platform))
    if not required:
        return capability
    return replace(capability, constraints=replace(capability.constraints, needs_egress=True))


def _adapter_needs_egress(capability: Capability, platform: Iterable[Capability]) -> bool:
    same_adapter = [other for other in platform if other.adapter == capability.adapter]
    if not same_adapter:
        return True
    if capability.endpoint:
        return any(other.constraints.needs_egress and not other.endpoint for other in same_adapter)
    return any(other.constraints.needs_egress or other.endpoint for other in same_adapter)
