"""Each call has a span on both sides, whatever its end, in OpenTelemetry's words and without the text of an error."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import grpc
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from mesh.errors import SomaError
from mesh.testing import served
from mesh.testing.contract import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from types import SimpleNamespace

    from opentelemetry.sdk.trace import ReadableSpan

    from mesh.testing import RunningServer

    Dynamic = SimpleNamespace
    Invoke = Callable[..., Awaitable[list[str]]]

KINDS = ("UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream")
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def exported() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
async def traced(probe: Dynamic, servicer: Dynamic, exported: InMemorySpanExporter) -> AsyncIterator[RunningServer]:
    """A server whose spans, and those of its clients, are exported."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exported))
    registration = (probe.grpc.add_ProbeServicer_to_server, servicer)
    async with served([registration], tracer=provider.get_tracer("test")) as running:
        yield running


async def both(exported: InMemorySpanExporter) -> tuple[ReadableSpan, ReadableSpan]:
    """The client's span and the server's of the one call that was made."""

    def are_there() -> bool:
        return len(exported.get_finished_spans()) == 2

    await eventually(are_there)
    spans = {span.kind: span for span in exported.get_finished_spans()}
    return spans[SpanKind.CLIENT], spans[SpanKind.SERVER]


def number(code: grpc.StatusCode) -> int:
    return int(code.value[0])


@every_kind
async def test_both_sides_name_the_call_in_the_words_of_the_conventions(
    kind: str, traced: RunningServer, invoke: Invoke, exported: InMemorySpanExporter
) -> None:
    await invoke(traced.channel, kind, {"text": "hi"})
    for span in await both(exported):
        assert span.name == f"probe.v1.Probe/{kind}"
        assert dict(span.attributes or {}) == {
            "rpc.system": "grpc",
            "rpc.service": "probe.v1.Probe",
            "rpc.method": kind,
            "rpc.grpc.status_code": 0,
        }


@every_kind
async def test_the_servers_span_is_below_the_clients(
    kind: str, traced: RunningServer, invoke: Invoke, exported: InMemorySpanExporter
) -> None:
    await invoke(traced.channel, kind, {"text": "hi"})
    client, server = await both(exported)
    assert client.context is not None
    assert server.parent is not None
    assert (server.parent.trace_id, server.parent.span_id) == (client.context.trace_id, client.context.span_id)


@every_kind
async def test_a_failure_shows_its_code_and_type_and_not_its_text(
    kind: str, traced: RunningServer, invoke: Invoke, exported: InMemorySpanExporter
) -> None:
    with pytest.raises(SomaError):
        await invoke(traced.channel, kind, {"behaviour": "unknown"})
    client, server = await both(exported)
    internal = number(grpc.StatusCode.INTERNAL)
    assert [(span.attributes or {})["rpc.grpc.status_code"] for span in (client, server)] == [internal, internal]
    assert [span.status.status_code for span in (client, server)] == [StatusCode.ERROR, StatusCode.ERROR]
    assert server.status.description == "RuntimeError"
    assert "hunter2" not in client.to_json() + server.to_json()


@every_kind
async def test_a_refusal_shows_the_code_that_the_caller_sees(
    kind: str, traced: RunningServer, invoke: Invoke, exported: InMemorySpanExporter
) -> None:
    with pytest.raises(SomaError) as caught:
        await invoke(traced.channel, kind, {"behaviour": "soma"})
    code = number(grpc.StatusCode[caught.value.status_mapping.grpc_code])
    assert [(span.attributes or {})["rpc.grpc.status_code"] for span in await both(exported)] == [code, code]


async def test_a_call_that_is_given_up_has_both_spans(
    traced: RunningServer, invoke: Invoke, servicer: Dynamic, exported: InMemorySpanExporter
) -> None:
    calling = asyncio.ensure_future(invoke(traced.channel, "UnaryUnary", {"behaviour": "wait"}))
    await servicer.seen.started.wait()
    calling.cancel()
    with suppress(asyncio.CancelledError):
        await calling
    cancelled = number(grpc.StatusCode.CANCELLED)
    assert [(span.attributes or {})["rpc.grpc.status_code"] for span in await both(exported)] == [cancelled, cancelled]


async def test_a_stream_that_is_read_by_hand_and_left_has_both_spans(
    traced: RunningServer, probe: Dynamic, exported: InMemorySpanExporter
) -> None:
    call = probe.grpc.ProbeStub(traced.channel).UnaryStream(probe.pb2.Ask(behaviour="wait"))
    assert (await call.read()).text == "0"
    call.cancel()
    with suppress(asyncio.CancelledError):
        await call.read()
    client, _ = await both(exported)
    assert (client.attributes or {})["rpc.grpc.status_code"] == number(grpc.StatusCode.CANCELLED)
