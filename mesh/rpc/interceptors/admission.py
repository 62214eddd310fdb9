"""Bounds the calls served at once, and ends open streams when the server drains."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError
from mesh.rpc.call import Call, Interceptor
from mesh.telemetry import gauge

if TYPE_CHECKING:
    from mesh.rpc.call import Proceed


MAX_PUBLIC_STREAMS = 128


class Admission(Interceptor):
    """Counts calls and streams apart, so that idle streams cannot shut out calls. Public calls always pass.

    Public streams, which nobody has to say who they are to open, have a limit of their own and take no other's place.
    """

    def __init__(self, max_calls: int, max_streams: int, max_public_streams: int = MAX_PUBLIC_STREAMS) -> None:
        self._max_calls = max_calls
        self._max_streams = {False: max_streams, True: max_public_streams}
        self._calls = 0
        self._counts = {False: 0, True: 0}
        self._streams: set[asyncio.Task[object]] = set()
        self._cut: set[asyncio.Task[object]] = set()
        self._open = gauge("rpc_open_streams", "Response streams that are open.", ("service", "method"))

    async def around(self, call: Call, proceed: Proceed) -> object:
        """Serve the call if there is room; OVERLOADED, with a time to retry after, if not."""
        if call.route.response_streaming:
            return await self._stream(call, proceed)
        if self._calls >= self._max_calls and not call.route.public:
            raise _overloaded()
        self._calls += 1
        try:
            return await proceed(call)
        finally:
            self._calls -= 1

    def cut_streams(self) -> None:
        """End the open streams: their callers are told to reconnect."""
        for task in self._streams - self._cut:
            self._cut.add(task)
            task.cancel()

    async def _stream(self, call: Call, proceed: Proceed) -> object:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call is served outside of a task")
        public = call.route.public
        if self._counts[public] >= self._max_streams[public]:
            raise _overloaded()
        self._counts[public] += 1
        self._streams.add(task)
        open_streams = self._open.labels(call.route.service, call.route.name)
        open_streams.inc()
        try:
            return await proceed(call)
        except asyncio.CancelledError:
            if task not in self._cut or task.uncancel() > 0:
                raise
            raise SomaError(
                Reason.UNAVAILABLE, "The server is being replaced: reconnect and resume", retry_after_s=1.0
            ) from None
        finally:
            open_streams.dec()
            self._counts[public] -= 1
            self._streams.discard(task)
            self._cut.discard(task)


def _overloaded() -> SomaError:
    return SomaError(Reason.OVERLOADED, "The service has as much work as it can take; retry", retry_after_s=1.0)
