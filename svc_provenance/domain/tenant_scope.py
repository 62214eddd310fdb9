"""Which tenants' records a caller may read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.context import Caller

PLATFORM = ""
"""The tenant id of records that belong to no tenant."""
PLATFORM_ROLE = "platform_admin"


def tenant_of(caller: Caller, *, platform: bool) -> str:
    """Returns the tenant of the requested records; PERMISSION_DENIED for the platform's without `PLATFORM_ROLE`."""
    if not platform:
        return caller.tenant_id
    if PLATFORM_ROLE not in caller.roles:
        raise SomaError(
            Reason.PERMISSION_DENIED,
            f"Platform records require the role {PLATFORM_ROLE}; omit `platform` to read your tenant's",
        )
    return PLATFORM


def tenants_of(caller: Caller) -> Sequence[str]:
    """Returns the tenants in which an id is looked up, the caller's own first."""
    return (caller.tenant_id, PLATFORM) if PLATFORM_ROLE in caller.roles else (caller.tenant_id,)
