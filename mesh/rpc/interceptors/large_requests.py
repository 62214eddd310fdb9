"""Lets large requests be served one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.message import Message

from mesh.fairness import FairSlots
from mesh.rpc.interceptor import Call, Interceptor
from mesh.rpc.values import FEW_VALUES, count_values
from mesh.telemetry import gauge

if TYPE_CHECKING:
    from prometheus_client import Gauge

    from mesh.rpc.interceptor import Continuation

LARGE_BYTES = 64 * 1024
_AT_ONCE = 2
"""Large requests that are served at the same time."""
_WAITING = 64
"""Most of one tenant that wait."""


class LargeRequests(Interceptor):
    """Of large requests one of a tenant is served at a time, and two of all; others wait, tenants in turn.

    Whatever a handler does with a request, it takes time with its size, and threads share one interpreter with the
    event loop: a tenant that sends many at once would be in the way of everybody else's small ones. A request is large
    that has more than 64 KiB or 1,000 values. Streams are not: their messages come one by one.
    """

    name = "large_requests"
    after = ("tenancy", "authorization")
    before = ("validation",)

    def __init__(self) -> None:
        self._slots = FairSlots("large requests", _AT_ONCE, per_tenant=1, waiting_per_tenant=_WAITING)
        self._waiting = calls_waiting("large_request")

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return self._slots.waiting

    async def intercept(self, call: Call, continuation: Continuation) -> object:
        """Serve the call when it is its turn; OVERLOADED when too many wait."""
        if call.method.request_streaming or call.method.response_streaming or not _is_large(call.request):
            return await continuation(call)
        tenant_id = call.caller.tenant_id if call.caller else ""
        with self._waiting.track_inprogress():
            await self._slots.acquire(tenant_id)
        try:
            return await continuation(call)
        finally:
            self._slots.release(tenant_id)


def calls_waiting(reason: str) -> Gauge:
    """The gauge of the calls that wait for their turn, for this reason."""
    return gauge("rpc_calls_waiting", "Calls that wait until it is their turn.", ("reason",)).labels(reason)


def _is_large(request: object) -> bool:
    if not isinstance(request, Message):
        return False
    return request.ByteSize() > LARGE_BYTES or count_values(request, FEW_VALUES) > FEW_VALUES
