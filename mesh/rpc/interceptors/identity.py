"""Verifies the caller's token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mesh.errors import SomaError
from mesh.rpc.interceptor import Call, Interceptor

if TYPE_CHECKING:
    from mesh.context import Caller
    from mesh.rpc.interceptor import Continuation

_BEARER = "bearer "


class Verifier(Protocol):
    """Tells who a token belongs to."""

    async def authenticate(self, token: str) -> Caller:
        """The caller; SomaError UNAUTHENTICATED for a token that is not good."""


class Identity(Interceptor):
    """Reads `authorization: Bearer <token>` or `x-api-key: <key>`; no other header says who is calling."""

    name = "identity"
    # Refused credentials are counted and logged.
    after = ("errors", "metrics", "logging")

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    async def intercept(self, call: Call, continuation: Continuation) -> object:
        """Serve the call as its verified caller. A bad token fails the call, unless the method is public."""
        token = credential(call)
        if token:
            try:
                call.caller = await self._verifier.authenticate(token)
            except SomaError:
                if not call.method.public:
                    raise
        return await continuation(call)


def credential(call: Call) -> str:
    """The token that the call carries, empty when it carries none."""
    authorization = call.metadata.get("authorization", "")
    if authorization[: len(_BEARER)].lower() == _BEARER:
        return authorization[len(_BEARER) :].strip()
    return call.metadata.get("x-api-key", "").strip()
