"""TraceService: convert, call, convert back."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from mesh.context import caller
from mesh.rpc.heartbeats import DEFAULT_HEARTBEATS
from soma.provenance.v1 import trace_service_pb2
from soma.provenance.v1.trace_service_pb2_grpc import TraceServiceServicer
from svc_provenance.rpc.trace_writer import trace_message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc.aio

    from mesh.rpc.heartbeats import Heartbeats
    from svc_provenance.app.traces import Traces
    from svc_provenance.app.watch import WatchTraces


class TraceServicer(TraceServiceServicer):
    """Serves Decision Traces."""

    def __init__(self, traces: Traces, watch: WatchTraces, heartbeats: Heartbeats = DEFAULT_HEARTBEATS) -> None:
        self._traces = traces
        self._watch = watch
        self._heartbeats = heartbeats

    async def GetTrace(
        self, request: trace_service_pb2.GetTraceRequest, context: grpc.aio.ServicerContext
    ) -> trace_service_pb2.DecisionTrace:
        """Joins what was decided and done for a job."""
        return await self._traces.of(caller().tenant_id, request.id.lower(), trace_message)

    async def WatchTrace(
        self, request: trace_service_pb2.WatchTraceRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[trace_service_pb2.TraceEvent]:
        """Streams a trace."""
        news = self._watch(caller().tenant_id, request.id.lower())
        async with aclosing(self._heartbeats.add_to(news, _no_part)) as parts:
            async for part in parts:
                yield trace_service_pb2.TraceEvent.FromString(part)


async def _no_part() -> bytes:
    """A heartbeat is an event without a part."""
    return b""
