"""Metrics are exposed, bounded, and shared by the contexts of a process."""

from __future__ import annotations

import urllib.request
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4  # noqa: TID251 - names that no other test has used

import asyncpg
import grpc
import prometheus_client
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from mesh import telemetry
from mesh.settings import TelemetrySettings


def fresh(name: str) -> str:
    return f"test_{name}_{uuid4().hex}"


def value(name: str, **labels: str) -> float | None:
    return prometheus_client.REGISTRY.get_sample_value(name, labels)


def test_a_metric_is_the_same_for_all_who_ask_for_it() -> None:
    name = fresh("calls")
    telemetry.counter(name, "Calls.", ("result",)).labels("ok").inc()
    telemetry.counter(name, "Calls.", ("result",)).labels("ok").inc()
    assert value(f"{name}_total", result="ok") == 2


def test_a_metric_may_have_no_labels() -> None:
    name = fresh("level")
    telemetry.gauge(name, "Level.").labels().set(7)
    assert value(name) == 7


def test_a_histogram_takes_seconds() -> None:
    name = fresh("seconds")
    telemetry.histogram(name, "Time.", ("method",)).labels("get").observe(0.02)
    assert value(f"{name}_bucket", method="get", le="0.025") == 1
    assert value(f"{name}_bucket", method="get", le="0.01") == 0


@pytest.mark.parametrize("label", ["request_id", "session_id", "tenant_id", "user", "url", "subject", "id"])
def test_a_label_without_bounds_is_refused(label: str) -> None:
    with pytest.raises(ValueError, match="no bound"):
        telemetry.counter(fresh("bad"), "Bad.", (label,))


def test_the_labels_of_the_field_are_accepted() -> None:
    telemetry.gauge(fresh("health"), "Health.", ("tool_id", "provider")).labels("mermaid", "local").set(1)


def test_series_beyond_the_limit_are_counted_as_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "MAX_SERIES", 2)
    name = fresh("wild")
    family = telemetry.counter(name, "Wild.", ("reason",))
    for reason in "abcde":
        family.labels(reason).inc()
    family.labels("a").inc()
    assert value(f"{name}_total", reason="a") == 2
    assert value(f"{name}_total", reason="other") == 3


def test_the_number_of_label_values_is_checked() -> None:
    with pytest.raises(ValueError, match="2 label values"):
        telemetry.counter(fresh("pair"), "Pair.", ("a", "b")).labels("x")


async def test_metrics_are_exposed_until_the_last_context_leaves() -> None:
    name = fresh("exposed")
    telemetry.counter(name, "Exposed.").labels().inc()
    settings = TelemetrySettings(metrics_bind="127.0.0.1:0")
    async with telemetry.configure("one", settings) as first:
        async with telemetry.configure("two", settings) as second:
            assert first == second
        assert f"{name}_total 1.0" in _scrape(str(first))
    with pytest.raises(OSError, match="refused"):
        _scrape(str(first))


async def test_without_an_address_nothing_is_exposed() -> None:
    async with telemetry.configure("one", TelemetrySettings()) as address:
        assert address is None


async def test_spans_have_ids_also_when_nobody_collects_them() -> None:
    async with telemetry.configure("one", TelemetrySettings()):
        with telemetry.tracer().start_as_current_span("work") as span:
            assert span.get_span_context().is_valid
            assert not span.is_recording()


async def test_without_a_collector_the_drivers_are_left_alone() -> None:
    async with telemetry.configure("one", TelemetrySettings(statement_spans=True)):
        assert not hasattr(asyncpg.Connection.execute, "__wrapped__")


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the spans that are sent to it."""

    def __init__(self) -> None:
        self.requests: list[trace_service_pb2.ExportTraceServiceRequest] = []

    def Export(  # noqa: N802 - the contract's name
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        self.requests.append(request)
        return trace_service_pb2.ExportTraceServiceResponse()


def test_spans_are_sent_to_the_collector() -> None:
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    provider = telemetry.provider("registry", f"http://127.0.0.1:{port}")
    with provider.get_tracer("test").start_as_current_span("work") as span:
        assert span.get_span_context().trace_flags.sampled
    provider.shutdown()
    server.stop(None).wait()
    (sent,) = collector.requests[0].resource_spans
    assert sent.scope_spans[0].spans[0].name == "work"
    assert {pair.key: pair.value.string_value for pair in sent.resource.attributes}["service.name"] == "registry"


def _scrape(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
        return str(answer.read().decode())
