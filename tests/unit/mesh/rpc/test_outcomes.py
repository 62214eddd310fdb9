"""Every outcome looks the same on the wire, whatever the call kind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import prometheus_client
import pytest
from google.rpc import error_details_pb2, status_pb2

from mesh.testing import RunningServer, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from types import SimpleNamespace

    Dynamic = SimpleNamespace
    Context = grpc.aio.ServicerContext
    Headers = tuple[tuple[str, str], ...]
    Invoke = Callable[..., Awaitable[list[str]]]

KINDS = ("UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream")
every_kind = pytest.mark.parametrize("kind", KINDS)


def rich(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    """The details of the rich status, by message name."""
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    assert (status.code, status.message) == (error.code().value[0], error.details())
    found: dict[str, Any] = {}
    for packed in status.details:
        message = getattr(error_details_pb2, packed.TypeName().rpartition(".")[2])()
        assert packed.Unpack(message)
        found[type(message).__name__] = message
    return found


async def failure(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def samples(kind: str, code: str) -> float:
    labels = {"service": "probe.v1.Probe", "method": kind, "code": code}
    return prometheus_client.REGISTRY.get_sample_value("rpc_server_seconds_count", labels) or 0.0


@every_kind
async def test_a_call_that_succeeds_is_answered_and_timed(
    kind: str, invoke: Invoke, raw: grpc.aio.Channel, authorized: Headers
) -> None:
    before = samples(kind, "OK")
    answers = await invoke(raw, kind, {"text": "hi"}, metadata=authorized)
    assert "you said hi" in answers
    assert samples(kind, "OK") == before + 1


@every_kind
async def test_a_soma_error_reaches_the_caller_whole(
    kind: str, invoke: Invoke, raw: grpc.aio.Channel, authorized: Headers
) -> None:
    before = samples(kind, "RESOURCE_EXHAUSTED")
    error = await failure(invoke(raw, kind, {"behaviour": "soma"}, metadata=authorized))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.details() == "The monthly budget is used up"
    found = rich(error)
    assert (found["ErrorInfo"].reason, found["ErrorInfo"].domain) == ("BUDGET_EXCEEDED", "soma")
    assert found["ErrorInfo"].metadata["budget"] == "monthly"
    assert found["QuotaFailure"].violations[0].subject == "budget:monthly"
    assert found["RetryInfo"].retry_delay.ToMilliseconds() == 2_500
    assert samples(kind, "RESOURCE_EXHAUSTED") == before + 1


@every_kind
@pytest.mark.parametrize("behaviour", ["unknown", "cancelled inside"])
async def test_an_unexpected_failure_tells_nothing_but_the_trace_id(
    kind: str, behaviour: str, invoke: Invoke, raw: grpc.aio.Channel, authorized: Headers
) -> None:
    error = await failure(invoke(raw, kind, {"behaviour": behaviour}, metadata=authorized))
    assert error.code() is grpc.StatusCode.INTERNAL
    info = rich(error)["ErrorInfo"]
    trailers = dict(error.trailing_metadata())
    assert info.reason == "INTERNAL"
    assert dict(info.metadata) == {"trace_id": trailers["x-trace-id"]}
    assert not any("hunter2" in str(value) or "/srv" in str(value) for value in (error.details(), *trailers.values()))


@every_kind
async def test_a_broken_rule_names_every_wrong_field(
    kind: str, invoke: Invoke, raw: grpc.aio.Channel, authorized: Headers
) -> None:
    ask = {"text": "far too long", "items": [{"name": "good"}, {"name": ""}], "count": 101}
    error = await failure(invoke(raw, kind, ask, metadata=authorized))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    found = rich(error)
    assert {violation.field for violation in found["BadRequest"].field_violations} == {"text", "items[1].name", "count"}
    assert all(violation.description for violation in found["BadRequest"].field_violations)


@pytest.mark.parametrize("kind", ["StreamUnary", "StreamStream"])
async def test_every_message_of_a_request_stream_is_checked(
    kind: str, invoke: Invoke, raw: grpc.aio.Channel, authorized: Headers, servicer: Dynamic
) -> None:
    error = await failure(invoke(raw, kind, {"text": "fine"}, {"text": "far too long"}, metadata=authorized))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert servicer.seen.calls == 1


@every_kind
async def test_a_call_without_identity_is_refused_before_it_is_served(
    kind: str, invoke: Invoke, raw: grpc.aio.Channel, servicer: Dynamic
) -> None:
    error = await failure(invoke(raw, kind, {"text": "hi"}))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert rich(error)["ErrorInfo"].reason == "UNAUTHENTICATED"
    assert servicer.seen.calls == 0


@every_kind
async def test_a_call_past_its_deadline_is_ended_on_both_sides(
    kind: str, invoke: Invoke, raw: grpc.aio.Channel, authorized: Headers, servicer: Dynamic
) -> None:
    timeout_s = 0.1
    while not servicer.seen.started.is_set():  # a deadline may be over before the call was heard
        timeout_s *= 2
        error = await failure(invoke(raw, kind, {"behaviour": "wait"}, metadata=authorized, timeout=timeout_s))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(20):
        await servicer.seen.cancelled.wait()


@every_kind
async def test_a_cancelled_call_is_ended_in_the_handler_and_counted(
    kind: str, invoke: Invoke, raw: grpc.aio.Channel, authorized: Headers, servicer: Dynamic
) -> None:
    before = samples(kind, "CANCELLED")
    call = asyncio.ensure_future(invoke(raw, kind, {"behaviour": "wait"}, metadata=authorized))
    await servicer.seen.started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    async with asyncio.timeout(20):
        await servicer.seen.cancelled.wait()
    assert samples(kind, "CANCELLED") == before + 1


async def test_a_stream_cancelled_between_two_messages_ends_its_generator_at_once(
    probe: Dynamic, server: RunningServer, servicer: Dynamic, authorized: Headers, raw: grpc.aio.Channel
) -> None:
    closed = asyncio.Event()

    async def endless(request: Dynamic, context: Context) -> AsyncIterator[Dynamic]:
        try:
            while True:
                yield probe.pb2.Answer(text="x" * 100_000)
        finally:
            closed.set()

    servicer.UnaryStream = endless
    async with served([(probe.grpc.add_ProbeServicer_to_server, servicer)], issuer=server.issuer) as other:
        stub = probe.grpc.ProbeStub(other.channel)
        call = stub.UnaryStream(probe.pb2.Ask())
        assert (await call.read()).text
        call.cancel()
        async with asyncio.timeout(20):
            await closed.wait()
