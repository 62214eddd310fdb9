"""Decision Traces."""

# Generated from protos/soma/provenance/v1/trace_service.proto by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

from collections.abc import AsyncGenerator

from soma_client.calls import Caller
from soma_client.gen.soma.provenance import v1 as provenance_v1


class TraceServiceMethods:
    """Decision Traces."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def get(self, id: str, *, timeout: float | None = None) -> provenance_v1.DecisionTrace:
        """Joins all that was decided and done for a job. It follows the job within a second; while the job
        runs, complete is false.

        Args:
            id: Id of the job. Required.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = provenance_v1.GetTraceRequest(id=id)
        return await self._caller.unary(
            "/soma.provenance.v1.TraceService/GetTrace", request, provenance_v1.DecisionTrace, timeout
        )

    def watch(self, id: str) -> AsyncGenerator[provenance_v1.TraceEvent, None]:
        """Streams the trace: all that is known at first, then each part as it changes, and at last the whole
        trace once it is complete, after which the stream ends. A heartbeat at least every 15 s. A reader
        that was cut off asks again. A job that was just submitted is waited for, two seconds; then an
        unknown one is NOT_FOUND. Facts that are missing a minute after the job's end are not waited for any
        longer: the whole trace then says that it is not complete.

        Args:
            id: Id of the job. Required.
        """
        request = provenance_v1.WatchTraceRequest(id=id)
        return self._caller.stream("/soma.provenance.v1.TraceService/WatchTrace", request, provenance_v1.TraceEvent)
