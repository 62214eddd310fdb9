"""TraceService: convert, call, convert back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.context import caller
from soma.provenance.v1 import trace_service_pb2
from soma.provenance.v1.trace_service_pb2_grpc import TraceServiceServicer
from svc_provenance.rpc.trace_writer import trace_message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc.aio

    from svc_provenance.app.traces import Traces
    from svc_provenance.app.watch import WatchTraces


class TraceServicer(TraceServiceServicer):
    """Serves Decision Traces."""

    def __init__(self, traces: Traces, watch: WatchTraces) -> None:
        self._traces = traces
        self._watch = watch

    async def GetTrace(
        self, request: trace_service_pb2.GetTraceRequest, context: grpc.aio.ServicerContext
    ) -> trace_service_pb2.DecisionTrace:
        """Joins what was decided and done for a job."""
        return await self._traces.of(caller().tenant_id, request.id.lower(), trace_message)

    async def WatchTrace(
        self, request: trace_service_pb2.WatchTraceRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[trace_service_pb2.TraceEvent]:
        """Streams a trace."""
        async for part in self._watch(caller().tenant_id, request.id.lower()):
            yield trace_service_pb2.TraceEvent.FromString(part) if part else trace_service_pb2.TraceEvent()
