"""Times every call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh import overhead
from mesh.rpc import status
from mesh.rpc.interceptor import Call, Interceptor
from mesh.rpc.statistics import HEADER, RecentCalls
from mesh.rpc.status_codes import code_of_context, code_of_exception
from mesh.telemetry import histogram

if TYPE_CHECKING:
    from mesh.clock import Clock
    from mesh.rpc.interceptor import Continuation

LONGEST_S = 30.0
SHORTEST_S = 0.5
_HEALTH = "grpc.health.v1.Health"


class Metrics(Interceptor):
    """`rpc_server_seconds{service,method,code}`: from the call's start to its last message.

    Of calls from outside, which the edge hands on, `mesh_overhead_seconds` too; streams last as long as they are read.
    The health of the whole server is answered with how its calls went lately. Streams are not among them, whose time is
    their readers', nor calls that were given more than 30 seconds, which are meant to take long, nor those that ran out
    of less than half a second, which tell of their callers.
    """

    name = "metrics"
    # It observes the code that the caller sees.
    after = ("errors", "tracing")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._recent = RecentCalls(clock)
        self._seconds = histogram(
            "rpc_server_seconds", "Time to serve a call, streams to their end.", ("service", "method", "code")
        )

    async def intercept(self, call: Call, continuation: Continuation) -> object:
        """Serve the call and observe its time under the code that its caller sees."""
        if status.PROXIED_KEY not in call.metadata or call.method.response_streaming:
            return await self._timed(call, continuation)
        with overhead.measure_overhead(self._clock, call.method.service, call.method.name) as overhead_timer:
            call.overhead_timer = overhead_timer
            return await self._timed(call, continuation)

    async def _timed(self, call: Call, continuation: Continuation) -> object:
        if call.method.service == _HEALTH:
            call.response_headers.append((HEADER, self._recent.statistics().header()))
        remaining = call.context.time_remaining()
        hurried = remaining is not None and remaining < SHORTEST_S
        started = self._clock.monotonic()
        code = "OK"
        try:
            result = await continuation(call)
            code = code_of_context(call)
        except BaseException as error:
            code = code_of_exception(error, call)
            raise
        finally:
            elapsed = self._clock.monotonic() - started
            self._seconds.labels(call.method.service, call.method.name, code).observe(elapsed)
            if _counts(call, remaining) and not (hurried and code == "DEADLINE_EXCEEDED"):
                self._recent.add(elapsed, code)
        return result


def _counts(call: Call, remaining: float | None) -> bool:
    """Whether a call that had `remaining` seconds until its deadline counts for the server's own health."""
    method = call.method
    if method.request_streaming or method.response_streaming or method.public:
        return False
    return remaining is None or remaining <= LONGEST_S
