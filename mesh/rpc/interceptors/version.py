"""Tells which version of its context a server is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.rpc.interceptor import Call, Interceptor

if TYPE_CHECKING:
    from mesh.rpc.interceptor import Continuation

HEADER = "soma-version"
"""Response header of `grpc.health.v1`: the version of the context, `major.minor.patch`."""
_HEALTH = "grpc.health.v1.Health"


class Version(Interceptor):
    """Answers to health checks carry the version as initial metadata. No other answer does: callers get it, too."""

    name = "version"
    after = ("errors",)

    def __init__(self, version: str) -> None:
        self._version = version

    async def intercept(self, call: Call, continuation: Continuation) -> object:
        """Add the header to an answer about health."""
        if self._version and call.method.service == _HEALTH:
            call.response_headers.append((HEADER, self._version))
        return await continuation(call)
