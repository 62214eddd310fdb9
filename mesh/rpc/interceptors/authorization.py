"""Asks policy whether the caller may do what the method does."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Protocol

from mesh.errors import Reason, SomaError
from mesh.rpc.call import Call, Interceptor

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from mesh.context import Caller
    from mesh.rpc.call import Proceed


class Authorizer(Protocol):
    """Decides who may do what. May answer at once or be awaited."""

    def authorize(self, action: str, caller: Caller) -> Awaitable[None] | None:
        """Return for yes; for no, and when it cannot decide, raise a SomaError."""


class Authorization(Interceptor):
    """Default deny: a method whose contract names no action is served to nobody."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def around(self, call: Call, proceed: Proceed) -> object:
        """Serve the call if its caller may make it."""
        if not call.route.public:
            await self._check(call)
        return await proceed(call)

    async def _check(self, call: Call) -> None:
        if call.caller is None:
            raise SomaError(
                Reason.UNAUTHENTICATED,
                "This method needs a caller: send `authorization: Bearer <token>` or `x-api-key: <key>`",
            )
        if call.route.access is None:
            raise SomaError(Reason.PERMISSION_DENIED, f"{call.route.service}/{call.route.name} is open to nobody")
        decision = self._authorizer.authorize(call.route.access.action, call.caller)
        if inspect.isawaitable(decision):
            await decision
