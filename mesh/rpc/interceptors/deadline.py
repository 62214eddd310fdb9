"""Ends work whose caller no longer waits."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from mesh import context
from mesh.errors import Reason, SomaError
from mesh.rpc.call import Call, Interceptor

if TYPE_CHECKING:
    from mesh.clock import Clock
    from mesh.rpc.call import Proceed


class Deadline(Interceptor):
    """Stops a call at its deadline. A call of a unary method that has none is given `default_s` seconds."""

    def __init__(self, clock: Clock, default_s: float | None = None) -> None:
        self._clock = clock
        self._default_s = default_s

    async def around(self, call: Call, proceed: Proceed) -> object:
        """Serve the call within its time; DEADLINE_EXCEEDED when it runs out."""
        streaming = call.route.request_streaming or call.route.response_streaming
        if call.deadline is None and self._default_s is not None and not streaming:
            call.deadline = self._clock.monotonic() + self._default_s
        if call.deadline is None:
            return await proceed(call)
        remaining = call.deadline - self._clock.monotonic()
        if remaining <= 0:
            raise _exceeded()
        return await self._bounded(call, proceed, remaining)

    @staticmethod
    async def _bounded(call: Call, proceed: Proceed, remaining: float) -> object:
        request = context.current()
        limit = asyncio.timeout(remaining)
        try:
            async with limit:
                if request is None or request.deadline == call.deadline:
                    return await proceed(call)
                with context.use(replace(request, deadline=call.deadline)):
                    return await proceed(call)
        except TimeoutError:
            if limit.expired():
                raise _exceeded() from None
            raise


def _exceeded() -> SomaError:
    return SomaError(Reason.DEADLINE_EXCEEDED, "The time for this call ran out; the work may or may not be done")
