"""Whose records a caller may see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mesh.context import Caller

PLATFORM = ""
"""Stands for the tenant of what belongs to none."""
PLATFORM_ROLE = "platform_admin"


def tenant_of(caller: Caller, *, platform: bool) -> str:
    """The tenant whose records a caller asks for; PERMISSION_DENIED for the platform's, but to its administrators."""
    if not platform:
        return caller.tenant_id
    if PLATFORM_ROLE not in caller.roles:
        raise SomaError(
            Reason.PERMISSION_DENIED,
            f"What belongs to the platform is for the role {PLATFORM_ROLE}; leave out platform",
        )
    return PLATFORM


def tenants_of(caller: Caller) -> Sequence[str]:
    """The tenants among whose records an id of the caller is looked for, its own first."""
    return (caller.tenant_id, PLATFORM) if PLATFORM_ROLE in caller.roles else (caller.tenant_id,)
