"""TraceService: convert, call, convert back."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from mesh.context import caller
from mesh.rpc.heartbeats import DEFAULT_HEARTBEATS
from soma.provenance.v1 import trace_service_pb2 as pb
from soma.provenance.v1.trace_service_pb2_grpc import TraceServiceServicer
from svc_provenance.rpc.convert.traces import trace_to_proto

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

    async def GetTrace(self, request: pb.GetTraceRequest, context: grpc.aio.ServicerContext) -> pb.DecisionTrace:
        """Reads what was decided and done for a job."""
        return await self._traces.get(caller().tenant_id, request.id.lower(), trace_to_proto)

    async def WatchTrace(
        self, request: pb.WatchTraceRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.TraceEvent]:
        """Streams a trace."""
        changes = self._watch(caller().tenant_id, request.id.lower())
        async with aclosing(self._heartbeats.add_to(changes, _heartbeat)) as events:
            async for event in events:
                yield pb.TraceEvent.FromString(event)


async def _heartbeat() -> bytes:
    """Returns an event without a part."""
    return b""
