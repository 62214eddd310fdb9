"""Bounds the streams that callers open without a credential."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError
from mesh.rpc.call import Call, Interceptor

if TYPE_CHECKING:
    from mesh.rpc.call import Proceed


class OpenStreams(Interceptor):
    """Serves at most `most` streams at once; one more is OVERLOADED. Unary calls, which are short, always pass."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open = 0

    async def around(self, call: Call, proceed: Proceed) -> object:
        """Serve the call if there is room."""
        if not call.route.response_streaming:
            return await proceed(call)
        if self._open >= self._most:
            raise SomaError(Reason.OVERLOADED, "Too many streams are open; retry", retry_after_s=1.0)
        self._open += 1
        try:
            return await proceed(call)
        finally:
            self._open -= 1
