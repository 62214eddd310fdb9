"""Spans beyond one call: contexts that travel as W3C text, and spans whose ids follow from what they stand for.

Work that outlives a process has no span object to hold on to. Its ids are derived from its name instead, so whoever
goes on after a crash finds the same parent, and the span itself is written once, when the work is over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mesh.telemetry import NEXT_SPAN_ID, tracer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

_PROPAGATOR = TraceContextTextMapPropagator()
Attributes: TypeAlias = Mapping[str, str | int | float | bool]
CLIENT = trace.SpanKind.CLIENT
_NANOSECONDS = 1_000_000_000


def parse(traceparent: str) -> SpanContext | None:
    """The span context of a W3C `traceparent`; None for what is not one."""
    known = trace.get_current_span(_PROPAGATOR.extract({"traceparent": traceparent})).get_span_context()
    return known if known.is_valid else None


def format_traceparent(span: SpanContext) -> str:
    """The W3C `traceparent` of a span context; "" for an invalid one."""
    if not span.is_valid:
        return ""
    return f"00-{trace.format_trace_id(span.trace_id)}-{trace.format_span_id(span.span_id)}-{span.trace_flags:02x}"


def current() -> str:
    """The W3C `traceparent` of the current span; "" outside of any."""
    return format_traceparent(trace.get_current_span().get_span_context())


def derived(origin: SpanContext, *parts: str) -> SpanContext:
    """The context of the span that these parts name, in the trace of `origin`."""
    return SpanContext(origin.trace_id, _number(parts, 8), is_remote=True, trace_flags=origin.trace_flags)


def remote_or_derived_context(traceparent: str, *parts: str) -> SpanContext:
    """The span context of a traceparent; without a valid one, an unsampled context that is derived from the parts."""
    known = parse(traceparent)
    return known or SpanContext(_number(parts, 16), _number(("origin", *parts), 8), is_remote=True)


@contextmanager
def with_remote_parent(traceparent: str) -> Iterator[None]:
    """Make the span of a traceparent the parent of what is started within; without one nothing changes."""
    known = parse(traceparent)
    if known is None:
        yield
        return
    with _within(known):
        yield


def begin(
    name: str,
    parent: SpanContext,
    own: SpanContext,
    *,
    start: datetime | None = None,
    attributes: Attributes | None = None,
) -> trace.Span:
    """Start the span whose context is `own`, now or at a given moment; a span that is not ended is not exported."""
    token = NEXT_SPAN_ID.set(own.span_id)
    try:
        span = tracer().start_span(
            name, _below(parent), attributes=dict(attributes or {}), start_time=_nanoseconds(start)
        )
    finally:
        NEXT_SPAN_ID.reset(token)
    return span


def record(
    name: str,
    parent: SpanContext,
    own: SpanContext,
    *,
    start: datetime,
    end: datetime,
    attributes: Attributes | None = None,
    failed: str = "",
) -> None:
    """Write a span that is over; `failed` names the kind of its failure, never its text."""
    span = begin(name, parent, own, start=start, attributes=attributes)
    if failed:
        span.set_status(trace.Status(trace.StatusCode.ERROR, failed))
    span.end(_nanoseconds(max(start, end)))


@contextmanager
def span(
    name: str,
    attributes: Attributes | None = None,
    kind: trace.SpanKind = trace.SpanKind.INTERNAL,
) -> Iterator[trace.Span]:
    """A span around a block. A failure shows the type of the exception alone: its text may hold what must stay.

    Below a span that nobody records there is none, so that it costs next to nothing while traces are off.
    """
    above = trace.get_current_span()
    if above.get_span_context().is_valid and not above.get_span_context().trace_flags.sampled:
        yield above
        return
    with tracer().start_as_current_span(
        name, kind=kind, attributes=dict(attributes or {}), record_exception=False, set_status_on_exception=False
    ) as opened:
        try:
            yield opened
        except BaseException as error:
            opened.set_status(trace.Status(trace.StatusCode.ERROR, type(error).__name__))
            raise


@contextmanager
def consumer_span(traceparent: str, name: str, attributes: Attributes) -> Iterator[None]:
    """A consumer's span around the work on an event, in the trace that the event came from; none of its own without."""
    known = parse(traceparent)
    if known is None:
        yield
        return
    with _within(known), span(name, attributes, trace.SpanKind.CONSUMER):
        yield


@contextmanager
def _within(parent: SpanContext) -> Iterator[None]:
    token = otel_context.attach(_below(parent))
    try:
        yield
    finally:
        otel_context.detach(token)


def _below(parent: SpanContext) -> otel_context.Context:
    return trace.set_span_in_context(trace.NonRecordingSpan(parent))


def _nanoseconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * _NANOSECONDS)


def _number(parts: tuple[str, ...], size: int) -> int:
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return int.from_bytes(digest[:size], "big") or 1
