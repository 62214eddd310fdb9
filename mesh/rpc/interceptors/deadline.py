"""Ends work whose caller no longer waits."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from mesh import context
from mesh.context import RequestContext
from mesh.errors import Reason, SomaError
from mesh.rpc.interceptor import Call, Interceptor

if TYPE_CHECKING:
    from mesh.clock import Clock
    from mesh.rpc.interceptor import Continuation


class Deadline(Interceptor):
    """Gives a unary call without a deadline `default_s` seconds; at a deadline of its own gRPC itself ends a call."""

    name = "deadline"
    # The default is time for the handler.
    after = ("tenancy",)

    def __init__(self, clock: Clock, default_s: float | None = None) -> None:
        self._clock = clock
        self._default_s = default_s

    async def intercept(self, call: Call, continuation: Continuation) -> object:
        """Serve the call within its time; DEADLINE_EXCEEDED when it runs out."""
        if call.deadline is not None:
            if call.deadline <= self._clock.monotonic():
                raise _exceeded()
            return await continuation(call)
        if self._default_s is None or call.method.request_streaming or call.method.response_streaming:
            return await continuation(call)
        call.deadline = self._clock.monotonic() + self._default_s
        return await self._bounded(call, continuation, self._default_s)

    @staticmethod
    async def _bounded(call: Call, continuation: Continuation, seconds: float) -> object:
        request = context.current() or RequestContext(call.caller, call.request_id, call.trace_id)
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                with context.use(replace(request, deadline=call.deadline)):
                    return await continuation(call)
        except TimeoutError:
            if limit.expired():
                raise _exceeded() from None
            raise


def _exceeded() -> SomaError:
    return SomaError(Reason.DEADLINE_EXCEEDED, "The time for this call ran out; the work may or may not be done")
