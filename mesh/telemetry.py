"""Metrics and traces of a process: Prometheus on a port of its own, OTLP where a collector is named."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Generic, TypeVar

import prometheus_client
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from wsgiref.simple_server import WSGIServer

    from mesh.settings import TelemetrySettings
    from mesh.statement_spans import StatementSpans

M = TypeVar("M", prometheus_client.Counter, prometheus_client.Gauge, prometheus_client.Histogram)

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
OVERFLOW = "other"
MAX_SERIES = 2_000

_UNBOUNDED = frozenset({"id", "subject", "user", "url", "path", "email", "message", "trace", "session", "job"})
_BOUNDED_IDS = frozenset({"tool_id"})
"""Ids that an operator gives to a few things; every other id is born with a request and would never end."""


class Family(Generic[M]):
    """One metric and its labels. Past `MAX_SERIES` label sets, new ones are counted under `other`."""

    def __init__(self, metric: M, labels: Sequence[str]) -> None:
        self._metric: M = metric
        self._arity = len(labels)
        self._children: dict[tuple[str, ...], M] = {}
        self._lock = threading.Lock()

    def labels(self, *values: str) -> M:
        """The series of these label values, in the order in which the labels were declared."""
        child = self._children.get(values)
        return child if child is not None else self._open(values)

    def remove(self, *values: str) -> None:
        """No longer exposes the series of these label values, whose thing is gone; its place is free for another."""
        with self._lock:
            if values and self._children.pop(values, None) is not None and values != (OVERFLOW,) * self._arity:
                self._metric.remove(*values)

    def _open(self, values: tuple[str, ...]) -> M:
        if len(values) != self._arity:
            raise ValueError(f"{self._arity} label values are needed, not {len(values)}")
        with self._lock:
            if len(self._children) >= MAX_SERIES:
                values = (OVERFLOW,) * self._arity
            return self._children.setdefault(values, self._metric.labels(*values) if values else self._metric)


@cache
def counter(name: str, text: str, labels: tuple[str, ...] = ()) -> Family[prometheus_client.Counter]:
    """The counter of this name; the same one for every caller in the process."""
    return Family(prometheus_client.Counter(name, text, _bounded(labels)), labels)


@cache
def gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> Family[prometheus_client.Gauge]:
    """The gauge of this name; the same one for every caller in the process."""
    return Family(prometheus_client.Gauge(name, text, _bounded(labels)), labels)


@cache
def histogram(
    name: str, text: str, labels: tuple[str, ...] = (), buckets: tuple[float, ...] = LATENCY_BUCKETS_S
) -> Family[prometheus_client.Histogram]:
    """The histogram of this name; the same one for every caller in the process."""
    return Family(prometheus_client.Histogram(name, text, _bounded(labels), buckets=buckets), labels)


def _bounded(labels: tuple[str, ...]) -> tuple[str, ...]:
    for label in labels:
        if label in _UNBOUNDED or (label.endswith("_id") and label not in _BOUNDED_IDS):
            raise ValueError(f"label {label!r} has no bound: put it in a log line or a span")
    return labels


NEXT_SPAN_ID: ContextVar[int] = ContextVar("soma_next_span_id", default=0)
"""Id of the span that is being started, where it is not drawn but follows from what the span stands for."""


class DerivableIds(RandomIdGenerator):
    """Random ids, unless the id of a span was settled before."""

    def generate_span_id(self) -> int:
        """See the base class."""
        return NEXT_SPAN_ID.get() or super().generate_span_id()


def tracer() -> trace.Tracer:
    """The tracer for spans of this project; records once `configure` has been entered with a collector."""
    return trace.get_tracer("soma")


@asynccontextmanager
async def configure(service: str, settings: TelemetrySettings) -> AsyncIterator[str | None]:
    """Expose metrics and export traces while entered; yields the host:port of the exposition, None without one.

    Metrics and the tracer are the process's: contexts that share a process share them, and the last one to leave
    closes the port and flushes the spans.
    """
    # What a process is, is found out in threads that are waited for.
    await asyncio.to_thread(_PROCESS.enter, service, settings)
    try:
        yield _PROCESS.address
    finally:
        # Flushing waits for the collector, and closing for the exposition's thread.
        await asyncio.to_thread(_PROCESS.leave)


class _Process:
    """What one process has once, however many contexts it serves."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._users = 0
        self._server: WSGIServer | None = None
        self._thread: threading.Thread | None = None
        self._provider: TracerProvider | None = None
        self._exporting: str | None = None
        self._statements: StatementSpans | None = None

    @property
    def address(self) -> str | None:
        """Where metrics are exposed."""
        if self._server is None:
            return None
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def enter(self, service: str, settings: TelemetrySettings) -> None:
        """Start what is wanted and not yet there."""
        with self._changing:
            self._enter(service, settings)

    def leave(self) -> None:
        """Stop everything once nobody is left."""
        with self._changing:
            self._leave()

    def _enter(self, service: str, settings: TelemetrySettings) -> None:
        if settings.metrics_bind is not None and self._server is None:
            host, _, port = settings.metrics_bind.rpartition(":")
            self._server, self._thread = prometheus_client.start_http_server(int(port), host.strip("[]"))
        self._trace(service, settings.otlp_endpoint)
        self._trace_statements(service, settings)
        self._users += 1

    def _leave(self) -> None:
        self._users -= 1
        if self._users > 0:
            return
        if self._statements is not None:
            self._statements.stop()
            self._statements = None
        if self._provider is not None:
            self._provider.force_flush()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = self._thread = None

    def _trace(self, service: str, endpoint: str | None) -> None:
        # A process can set its tracer provider once, so the first context names it; spans name their own service.
        if self._provider is None:
            self._provider = provider(service, endpoint)
            trace.set_tracer_provider(self._provider)
            self._exporting = endpoint
        elif endpoint is not None and self._exporting is None:
            raise RuntimeError("an OTLP endpoint must be set for all contexts of a process, or for none")

    def _trace_statements(self, service: str, settings: TelemetrySettings) -> None:
        if settings.otlp_endpoint is None or not settings.statement_spans or self._statements is not None:
            return
        # Its instrumentations wrap the drivers, which costs those nothing who do not ask for it.
        from mesh.statement_spans import StatementSpans

        self._statements = StatementSpans(resource(service), OTLPSpanExporter(endpoint=settings.otlp_endpoint))
        self._statements.start()


def resource(service: str) -> Resource:
    """What the spans of a service's process say that they come from."""
    return Resource.create({"service.name": service, "service.namespace": "soma"})


def provider(service: str, endpoint: str | None) -> TracerProvider:
    """A tracer provider that exports to `endpoint`; without one it gives spans their ids and records nothing."""
    if endpoint is None:
        return TracerProvider(
            sampler=ALWAYS_OFF, resource=resource(service), shutdown_on_exit=False, id_generator=DerivableIds()
        )
    built = TracerProvider(sampler=ParentBased(ALWAYS_ON), resource=resource(service), id_generator=DerivableIds())
    built.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    return built


_PROCESS = _Process()
