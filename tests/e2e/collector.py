"""A collector: takes OTLP spans over gRPC and keeps them as they came."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@dataclass(frozen=True)
class Span:
    """One exported span; ids are lower-case hex, `parent_id` empty for a root."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    service: str
    start: int
    end: int
    attributes: Mapping[str, object]
    events: int


@dataclass
class Collector(TraceServiceServicer):
    """Everything that was exported, parsed and raw."""

    port: int = 0
    raw: list[bytes] = field(default_factory=list)
    _spans: list[Span] = field(default_factory=list)
    _arrived: threading.Condition = field(default_factory=threading.Condition)

    @property
    def endpoint(self) -> str:
        """Where exporters send to."""
        return f"http://127.0.0.1:{self.port}"

    def Export(self, request: ExportTraceServiceRequest, context: object) -> ExportTraceServiceResponse:  # noqa: N802
        """Takes in a batch."""
        with self._arrived:
            self.raw.append(request.SerializeToString())
            self._spans.extend(_parsed(request))
            self._arrived.notify_all()
        return ExportTraceServiceResponse()

    def of(self, trace_id: str) -> list[Span]:
        """The spans of a trace that have arrived; of one that was sent twice the first."""
        with self._arrived:
            found = {span.span_id: span for span in reversed(self._spans) if span.trace_id == trace_id}
        return sorted(found.values(), key=lambda span: span.start)

    def wait(self, trace_id: str, complete: Callable[[list[Span]], bool], seconds: float = 30) -> list[Span]:
        """The spans of a trace once they are complete, or after some seconds."""
        end = time.monotonic() + seconds
        while not complete(spans := self.of(trace_id)) and time.monotonic() < end:
            with self._arrived:
                self._arrived.wait(0.5)
        return spans


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens while entered."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(collector, server)
    collector.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield collector
    finally:
        server.stop(1).wait()


def _parsed(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for resource in request.resource_spans:
        service = next(
            (item.value.string_value for item in resource.resource.attributes if item.key == "service.name"), ""
        )
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    name=span.name,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    service=service,
                    start=span.start_time_unix_nano,
                    end=span.end_time_unix_nano,
                    attributes={
                        item.key: getattr(item.value, item.value.WhichOneof("value") or "string_value")
                        for item in span.attributes
                    },
                    events=len(span.events),
                )
