"""On whose behalf the executor calls its peers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import Caller

if TYPE_CHECKING:
    from svc_executor.app.ports import CallerTokens
    from svc_executor.domain.job import CallerIdentity

_ACTOR = "executor"


async def caller_for(tokens: CallerTokens, identity: CallerIdentity) -> Caller:
    """The caller that peers see: the principal, with the executor as the actor."""
    return Caller(
        tenant_id=identity.tenant_id,
        subject=identity.subject,
        roles=identity.roles,
        scopes=identity.scopes,
        key_id=identity.key_id,
        token=await tokens.token_for(identity),
        actor=_ACTOR,
    )
