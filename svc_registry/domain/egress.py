"""Whether a capability sends data to other hosts, whatever its owner says of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mesh.addresses import is_remote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from svc_registry.domain.model import Capability


def with_egress(offered: Capability, of_platform: Iterable[Capability]) -> Capability:
    """The capability with `needs_egress` set where it is needed; `of_platform` are the platform's capabilities.

    An endpoint on another machine needs it. A private capability also needs it where one of the platform's of the same
    adapter does, unless both have an endpoint: then its own decides. A private one without an endpoint needs it as well
    where one of the platform's has one, which says nothing of the host that the adapter calls by default. Where the
    platform has none of that adapter, only the tenant says what the adapter does, so it is needed too.
    """
    if offered.constraints.needs_egress:
        return offered
    needs = is_remote(offered.endpoint) or (offered.tenant_id and _adapter_needs_egress(offered, of_platform))
    if not needs:
        return offered
    return replace(offered, constraints=replace(offered.constraints, needs_egress=True))


def _adapter_needs_egress(offered: Capability, of_platform: Iterable[Capability]) -> bool:
    alike = [item for item in of_platform if item.adapter == offered.adapter]
    if not alike:
        return True
    if offered.endpoint:
        return any(item.constraints.needs_egress and not item.endpoint for item in alike)
    return any(item.constraints.needs_egress or item.endpoint for item in alike)
