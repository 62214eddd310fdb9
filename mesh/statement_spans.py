"""Spans of the statements sent to Postgres and of the commands sent to Valkey, by OpenTelemetry's instrumentations.

They see every connection of the process. Each has one span per statement, with its text but not its values, below a
span that is recorded; what no recorded span has asked for, such as the reading of a consumer, has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import Status, StatusCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import SpanExportResult

_EXCEPTION_TYPE = "exception.type"


class WithoutErrorTexts(SpanExporter):
    """Exports spans without their events; of an exception its type alone.

    The instrumentations record an exception with its text, and Postgres writes the values of a row into the one about
    a violated constraint.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Hands on what may leave the process."""
        return self._exporter.export([_without_error_text(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class StatementSpans:
    """The spans of this process's statements, from `start` until `stop`."""

    def __init__(self, resource: Resource, exporter: SpanExporter) -> None:
        # A statement outside of a recorded span starts no trace of its own.
        self._provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF), resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(WithoutErrorTexts(exporter)))
        of_postgres = AsyncPGInstrumentor(capture_parameters=False)  # type: ignore[no-untyped-call]
        self._instrumentors = (of_postgres, RedisInstrumentor())

    def start(self) -> None:
        """Has the drivers make spans; DependencyConflictError for the version of a driver that is not known."""
        for instrumentor in self._instrumentors:
            instrumentor.instrument(tracer_provider=self._provider, raise_exception_on_conflict=True)

    def stop(self) -> None:
        """Leaves the drivers as they were, and exports what has ended."""
        for instrumentor in self._instrumentors:
            instrumentor.uninstrument()
        self._provider.shutdown()


def _without_error_text(span: ReadableSpan) -> ReadableSpan:
    if span.status.is_ok and not span.events:
        return span
    raised = [str((event.attributes or {}).get(_EXCEPTION_TYPE, "")) for event in span.events]
    description = raised[-1].rpartition(".")[2] if raised else None
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=span.attributes,
        links=span.links,
        kind=span.kind,
        status=span.status if span.status.is_ok else Status(StatusCode.ERROR, description),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
