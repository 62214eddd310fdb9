"""Makes the request the current one: whatever runs below knows for whom it works."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import RequestContext, use
from mesh.rpc.interceptor import Call, Interceptor

if TYPE_CHECKING:
    from mesh.rpc.interceptor import Continuation


class Tenancy(Interceptor):
    """The tenant is the verified caller's, never one that a header or a field names."""

    name = "tenancy"
    after = ("identity",)

    async def intercept(self, call: Call, continuation: Continuation) -> object:
        """Serve the call within its request context."""
        context = RequestContext(
            caller=call.caller,
            request_id=call.request_id,
            trace_id=call.trace_id,
            deadline=call.deadline,
            traceparent=call.traceparent,
        )
        with use(context):
            return await continuation(call)
