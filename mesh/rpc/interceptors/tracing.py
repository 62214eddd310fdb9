"""Continues the caller's W3C trace, or starts one, and names the request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mesh.rpc import status
from mesh.rpc.interceptor import Call, Interceptor
from mesh.rpc.outcome import code_of_exception

if TYPE_CHECKING:
    from mesh.ids import Ids
    from mesh.rpc.interceptor import Continuation

_ACCEPTED_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
_PROPAGATOR = TraceContextTextMapPropagator()
_GENERATOR = RandomIdGenerator()


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
            attributes={"rpc.system": "grpc", "rpc.service": call.method.service, "rpc.method": call.method.name},
        )
        if not span.get_span_context().is_valid:
            span = _unrecorded(parent)
        token = otel_context.attach(trace.set_span_in_context(span, parent))
        identity = span.get_span_context()
        call.trace_id = trace.format_trace_id(identity.trace_id)
        call.traceparent = (
            f"00-{call.trace_id}-{trace.format_span_id(identity.span_id)}-{int(identity.trace_flags):02x}"
        )
        _return_ids(call)
        try:
            return await continuation(call)
        except BaseException as error:
            code = code_of_exception(error, call)
            # The type only: the text of an unexpected exception may hold what must not leave the process.
            span.set_status(trace.Status(trace.StatusCode.ERROR, type(error).__name__))
            span.set_attribute("rpc.grpc.status_code", code)
            raise
        finally:
            span.end()
            otel_context.detach(token)


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


def _unrecorded(parent: otel_context.Context) -> trace.Span:
    """A span that nobody records, so that a call has a trace id where no tracer is configured."""
    above = trace.get_current_span(parent).get_span_context()
    return trace.NonRecordingSpan(
        trace.SpanContext(
            trace_id=above.trace_id if above.is_valid else _GENERATOR.generate_trace_id(),
            span_id=_GENERATOR.generate_span_id(),
            is_remote=False,
            trace_flags=above.trace_flags,
        )
    )
