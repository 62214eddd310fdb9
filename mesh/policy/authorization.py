"""Decides by policy whether a caller may perform an action."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError

if TYPE_CHECKING:
    from mesh.context import Caller
    from mesh.policy.policy import Policy

ALLOW = "data.soma.authz.allow"


KEPT = 4_096
_Asked = tuple[str, str, tuple[str, ...], tuple[str, ...], str, str]


class RegoAuthorizer:
    """Lets a caller perform an action when `data.soma.authz.allow` is true, and in no other case.

    Verdicts of a policy that cannot change are kept: the same caller asks for the same few actions all the time.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._kept: OrderedDict[_Asked, bool] = OrderedDict()

    async def authorize(self, action: str, caller: Caller) -> None:
        """Return when allowed; PERMISSION_DENIED otherwise, PolicyUnavailable when nobody can tell."""
        asked = (action, caller.subject, caller.roles, caller.scopes, caller.tenant_id, caller.actor)
        allowed = self._kept.get(asked)
        if allowed is None:
            allowed = await self._ask(asked) is True
            self._keep(asked, allowed)
        if not allowed:
            raise SomaError(
                Reason.PERMISSION_DENIED,
                f"The caller may not perform {action}",
                metadata={"action": action},
            )

    def _keep(self, asked: _Asked, allowed: bool) -> None:
        if self._policy.fixed:
            self._kept[asked] = allowed
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)

    async def _ask(self, asked: _Asked) -> object:
        action, subject, roles, scopes, tenant, actor = asked
        return await self._policy.ask(
            ALLOW,
            {
                "action": action,
                "subject": subject,
                "roles": list(roles),
                "scopes": list(scopes),
                "tenant": tenant,
                "actor": actor,
            },
        )
