"""Decides by policy whether a caller may perform an action."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError

if TYPE_CHECKING:
    from mesh.context import Caller
    from mesh.policy.policy import Policy

ALLOW = "data.soma.authz.allow"


class RegoAuthorizer:
    """Lets a caller perform an action when `data.soma.authz.allow` is true, and in no other case."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    async def authorize(self, action: str, caller: Caller) -> None:
        """Return when allowed; PERMISSION_DENIED otherwise, PolicyUnavailable when nobody can tell."""
        verdict = await self._policy.ask(
            ALLOW,
            {
                "action": action,
                "subject": caller.subject,
                "roles": list(caller.roles),
                "scopes": list(caller.scopes),
                "tenant": caller.tenant_id,
                "actor": caller.actor,
            },
        )
        if verdict is not True:
            raise SomaError(
                Reason.PERMISSION_DENIED,
                f"The caller may not perform {action}",
                metadata={"action": action},
            )
