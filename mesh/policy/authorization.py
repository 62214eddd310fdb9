"""Decides by policy whether a caller may perform an action."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError

if TYPE_CHECKING:
    from mesh.context import Caller
    from mesh.policy.policy import Policy

ALLOW = "data.soma.authz.allow"


MAX_CACHED = 4_096
_CacheKey = tuple[str, str, tuple[str, ...], tuple[str, ...], str, str]


class RegoAuthorizer:
    """Lets a caller perform an action when `data.soma.authz.allow` is true, and in no other case.

    Verdicts of a policy that cannot change are kept: the same caller asks for the same few actions all the time.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._cache: OrderedDict[_CacheKey, bool] = OrderedDict()

    async def authorize(self, action: str, caller: Caller) -> None:
        """Return when allowed; PERMISSION_DENIED otherwise, PolicyUnavailable when nobody can tell."""
        key = (action, caller.subject, caller.roles, caller.scopes, caller.tenant_id, caller.actor)
        allowed = self._cache.get(key)
        if allowed is None:
            allowed = await self._evaluate(key) is True
            self._remember(key, allowed)
        if not allowed:
            raise SomaError(
                Reason.PERMISSION_DENIED,
                f"The caller may not perform {action}",
                metadata={"action": action},
            )

    def _remember(self, key: _CacheKey, allowed: bool) -> None:
        if self._policy.is_immutable:
            self._cache[key] = allowed
            if len(self._cache) > MAX_CACHED:
                self._cache.popitem(last=False)

    async def _evaluate(self, key: _CacheKey) -> object:
        action, subject, roles, scopes, tenant, actor = key
        return await self._policy.evaluate(
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
