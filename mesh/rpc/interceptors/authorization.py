"""Asks policy whether the caller may do what the method does."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Protocol

from mesh.errors import Reason, SomaError
from mesh.rpc.access import has_side_effects
from mesh.rpc.interceptor import Call, Interceptor

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from mesh.context import Caller
    from mesh.rpc.interceptor import Continuation


class Authorizer(Protocol):
    """Decides who may do what. May answer at once or be awaited."""

    def authorize(self, action: str, caller: Caller) -> Awaitable[None] | None:
        """Return for yes; for no, and when it cannot decide, raise a SomaError."""


class RefusalListener(Protocol):
    """Is told of a caller who was refused what changes something. Answers at once."""

    def __call__(self, action: str, method: str, caller: Caller, reason: str) -> None:
        """Take note."""


class Authorization(Interceptor):
    """Default deny: a method whose contract names no action is served to nobody.

    `on_refused` is called for each refused call that would change something, also where the handler refused it, which
    knows more than the policy.
    """

    name = "authorization"
    # Policy and audit read the caller from the request context.
    after = ("tenancy",)

    def __init__(self, authorizer: Authorizer, on_refused: RefusalListener | None = None) -> None:
        self._authorizer = authorizer
        self._on_refused = on_refused

    async def intercept(self, call: Call, continuation: Continuation) -> object:
        """Serve the call if its caller may make it."""
        try:
            if not call.method.public:
                await self._check(call)
            return await continuation(call)
        except SomaError as error:
            if error.reason is Reason.PERMISSION_DENIED:
                self._report_refusal(call, error.message)
            raise

    def _report_refusal(self, call: Call, reason: str) -> None:
        method = call.method
        if self._on_refused is None or call.caller is None or method.access is None:
            return
        if has_side_effects(method.service, method.name):
            self._on_refused(method.access.action, f"{method.service}/{method.name}", call.caller, reason)

    async def _check(self, call: Call) -> None:
        if call.caller is None:
            raise SomaError(
                Reason.UNAUTHENTICATED,
                "This method needs a caller: send `authorization: Bearer <token>` or `x-api-key: <key>`",
            )
        if call.method.access is None:
            raise SomaError(
                Reason.PERMISSION_DENIED,
                f"{call.method.service}/{call.method.name} declares no access rule, so every call is denied; "
                "contact the operator",
            )
        decision = self._authorizer.authorize(call.method.access.action, call.caller)
        if inspect.isawaitable(decision):
            await decision
