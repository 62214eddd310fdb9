"""On whose behalf the executor calls its peers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import Caller

if TYPE_CHECKING:
    from svc_executor.app.ports import Identity
    from svc_executor.domain.job import Principal

_ACTOR = "executor"


async def caller_of(identity: Identity, principal: Principal) -> Caller:
    """The caller that peers see: the principal, with the executor as the actor."""
    return Caller(
        tenant_id=principal.tenant_id,
        subject=principal.subject,
        roles=principal.roles,
        scopes=principal.scopes,
        key_id=principal.key_id,
        token=await identity.on_behalf(principal),
        actor=_ACTOR,
    )
