"""Traces hold together across processes, and cost nothing while nobody collects them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mesh import overhead, tracing
from mesh.telemetry import DerivableIds
from mesh.testing import FakeClock

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNRECORDED = PARENT[:-2] + "00"
NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What the tracer exports."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(id_generator=DerivableIds(), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "tracer", lambda: provider.get_tracer("soma"))
    return exporter


def known(traceparent: str = PARENT) -> SpanContext:
    found = tracing.parse(traceparent)
    assert found is not None
    return found


def test_a_traceparent_is_read_and_written() -> None:
    assert tracing.format_traceparent(known()) == PARENT


@pytest.mark.parametrize("wrong", ["", "00", PARENT.replace("4", "g"), "00-" + "0" * 32 + "-00f067aa0ba902b7-01"])
def test_what_is_no_traceparent_is_none(wrong: str) -> None:
    assert tracing.parse(wrong) is None


def test_ids_follow_from_what_a_span_stands_for() -> None:
    one, same, other = (tracing.derived(known(), "job", part) for part in ("a", "a", "b"))
    assert one == same != other
    assert one.trace_id == known().trace_id


def test_parts_are_told_apart() -> None:
    assert tracing.derived(known(), "ab", "c") != tracing.derived(known(), "a", "bc")


def test_without_a_traceparent_there_is_an_unrecorded_origin_that_is_always_the_same() -> None:
    origin = tracing.remote_or_derived_context("", "job")
    assert origin == tracing.remote_or_derived_context("not one", "job")
    assert origin.is_valid
    assert not origin.trace_flags.sampled


def test_a_recorded_span_has_the_id_times_and_parent_it_is_given(exported: InMemorySpanExporter) -> None:
    own = tracing.derived(known(), "job")
    tracing.record("work", known(), own, start=NOW, end=NOW + timedelta(seconds=2), failed="FAILED")
    [span] = exported.get_finished_spans()
    assert span.context is not None
    assert span.parent is not None
    assert (span.context.span_id, span.parent.span_id) == (own.span_id, known().span_id)
    assert (span.end_time or 0) - (span.start_time or 0) == 2_000_000_000
    assert span.status.description == "FAILED"


def test_only_the_span_that_is_begun_gets_the_settled_id(exported: InMemorySpanExporter) -> None:
    own = tracing.derived(known(), "job")
    with trace.use_span(tracing.begin("work", known(), own), end_on_exit=True), tracing.span("below"):
        pass
    below, work = exported.get_finished_spans()
    assert work.context is not None
    assert below.context is not None
    assert below.parent is not None
    assert below.parent.span_id == work.context.span_id == own.span_id != below.context.span_id


def test_a_failure_shows_its_type_and_not_its_text(exported: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="sk-secret"), tracing.with_remote_parent(PARENT), tracing.span("work"):
        raise ValueError("sk-secret")
    [span] = exported.get_finished_spans()
    assert (span.status.description, span.events) == ("ValueError", ())


def test_an_event_is_applied_in_the_trace_that_it_came_from(exported: InMemorySpanExporter) -> None:
    with tracing.consumer_span(PARENT, "process topic", {"soma.event_type": "t"}):
        assert tracing.current().startswith(PARENT[:36])
    [span] = exported.get_finished_spans()
    assert span.parent is not None
    assert (span.kind, span.parent.span_id) == (trace.SpanKind.CONSUMER, known().span_id)


def test_an_event_without_a_trace_starts_none(exported: InMemorySpanExporter) -> None:
    with tracing.consumer_span("", "process topic", {}):
        assert not tracing.current()
    assert exported.get_finished_spans() == ()


def test_below_a_span_that_is_not_recorded_none_is_made_but_the_trace_goes_on(exported: InMemorySpanExporter) -> None:
    with tracing.with_remote_parent(UNRECORDED), tracing.span("work"):
        assert tracing.current() == UNRECORDED
    assert exported.get_finished_spans() == ()


async def test_overhead_leaves_out_what_providers_took() -> None:
    clock = FakeClock()
    with overhead.measure_overhead(clock, "service", "method") as overhead_timer:
        await clock.advance(1.0)
        with overhead.upstream(clock):
            await clock.advance(5.0)
        await clock.advance(0.5)
        assert overhead_timer.overhead_s == pytest.approx(1.5)
