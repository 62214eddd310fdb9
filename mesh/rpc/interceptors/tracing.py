"""Continues the caller's W3C trace, or starts one, and names the request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mesh import tracing
from mesh.rpc import status
from mesh.rpc.interceptor import Call, Interceptor
from mesh.rpc.span_attributes import STATUS_CODE, number_of_code, span_attributes
from mesh.rpc.status_codes import code_of_context, code_of_exception

if TYPE_CHECKING:
    from mesh.ids import Ids
    from mesh.rpc.interceptor import Continuation

_ACCEPTED_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
_PROPAGATOR = TraceContextTextMapPropagator()


class Tracing(Interceptor):
    """A server span per call; the trace id and the request id go back to the caller."""

    name = "tracing"
    # Its ids are in the status of a failed call.
    after = ("errors",)

    def __init__(self, tracer: trace.Tracer, ids: Ids) -> None:
        self._tracer = tracer
        self._ids = ids

    async def intercept(self, call: Call, continuation: Continuation) -> object:
        """Serve the call within its span."""
        sent = call.metadata.get(status.REQUEST_ID_KEY, "")
        call.request_id = sent if _ACCEPTED_ID.fullmatch(sent) else self._ids.new()
        parent = _PROPAGATOR.extract(call.metadata)
        span = self._tracer.start_span(
            f"{call.method.service}/{call.method.name}",
            context=parent,
            kind=trace.SpanKind.SERVER,
            attributes=span_attributes(call.method.service, call.method.name),
        )
        token = otel_context.attach(trace.set_span_in_context(span, parent))
        identity = span.get_span_context()
        call.trace_id = trace.format_trace_id(identity.trace_id)
        call.traceparent = tracing.format_traceparent(identity)
        _return_ids(call)
        code = "OK"
        try:
            response = await continuation(call)
            code = code_of_context(call)
        except BaseException as error:
            code = code_of_exception(error, call)
            # The type only: the text of an unexpected exception may hold what must not leave the process.
            span.set_status(trace.Status(trace.StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            span.set_attribute(STATUS_CODE, number_of_code(code))
            span.end()
            otel_context.detach(token)
        return response


def _return_ids(call: Call) -> None:
    """Send the ids in the headers of a stream, else in the trailers.

    Headers of a unary answer cost a write of their own. A transcoding proxy drops trailers; the edge names both ids by
    itself.
    """
    ids = [(status.TRACE_ID_KEY, call.trace_id), (status.REQUEST_ID_KEY, call.request_id)]
    if call.method.response_streaming:
        call.response_headers += ids
    else:
        call.context.set_trailing_metadata(ids)
