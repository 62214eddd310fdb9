"""What a mesh channel adds to a call, and how its failures look, in all four call kinds."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc
import prometheus_client
import pytest

from mesh.clock import SystemClock
from mesh.context import current, use
from mesh.errors import QuotaViolation, Reason, SomaError
from mesh.rpc.client import connect
from mesh.rpc.outgoing import Method, to_soma_error
from mesh.settings import SettingsError
from mesh.testing import ALICE, BOB, PLAINTEXT, RunningServer, acting_as, served

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import SimpleNamespace

    from mesh.context import Caller

    Dynamic = SimpleNamespace
    Context = grpc.aio.ServicerContext
    Invoke = Callable[..., Awaitable[list[str]]]

KINDS = ("UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream")
every_kind = pytest.mark.parametrize("kind", KINDS)


async def failure(call: Awaitable[object]) -> SomaError:
    with pytest.raises(SomaError) as caught:
        await call
    return caught.value


def samples(kind: str, code: str) -> float:
    labels = {"service": "probe.v1.Probe", "method": kind, "code": code}
    return prometheus_client.REGISTRY.get_sample_value("rpc_client_seconds_count", labels) or 0.0


@every_kind
async def test_an_answer_arrives_and_the_call_is_timed(kind: str, server: RunningServer, invoke: Invoke) -> None:
    before = samples(kind, "OK")
    assert "you said hi" in await invoke(server.channel, kind, {"text": "hi"})
    assert samples(kind, "OK") == before + 1


@every_kind
async def test_a_peers_error_is_raised_as_the_peer_meant_it(kind: str, server: RunningServer, invoke: Invoke) -> None:
    error = await failure(invoke(server.channel, kind, {"behaviour": "soma"}))
    assert error.reason is Reason.BUDGET_EXCEEDED
    assert error.message == "The monthly budget is used up"
    assert error.metadata["budget"] == "monthly"
    assert error.quotas == (QuotaViolation("budget:monthly", "1 USD over"),)
    assert error.retry_after_s == 2.5


async def test_messages_before_an_error_are_delivered(server: RunningServer, probe: Dynamic, servicer: Dynamic) -> None:
    messages = aiter(probe.grpc.ProbeStub(server.channel).UnaryStream(probe.pb2.Ask(behaviour="soma")))
    assert (await anext(messages)).text == "0"
    await failure(anext(messages))


@every_kind
async def test_a_peer_that_is_not_there_is_a_dependency_that_does_not_answer(kind: str, invoke: Invoke) -> None:
    async with connect("127.0.0.1:1", PLAINTEXT, service_config="{}") as channel:
        error = await failure(invoke(channel, kind, {"text": "hi"}))
    assert error.reason is Reason.DEPENDENCY_UNAVAILABLE
    assert "127.0.0.1" not in error.message
    assert "probe.v1.Probe" in error.message


@pytest.mark.parametrize("code", [grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE])
def test_a_peer_that_stops_in_mid_call_is_a_dependency_that_does_not_answer(code: grpc.StatusCode) -> None:
    error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "the server goes")
    assert to_soma_error(error, Method.parse("/probe.v1.Probe/UnaryUnary")).reason is Reason.DEPENDENCY_UNAVAILABLE


@every_kind
async def test_a_timeout_is_deadline_exceeded(kind: str, server: RunningServer, invoke: Invoke) -> None:
    error = await failure(invoke(server.channel, kind, {"behaviour": "wait"}, timeout=0.1))
    assert error.reason is Reason.DEADLINE_EXCEEDED


@every_kind
async def test_cancelling_the_task_cancels_the_call_at_the_peer(
    kind: str, server: RunningServer, invoke: Invoke, servicer: Dynamic
) -> None:
    before = samples(kind, "CANCELLED")
    task = asyncio.ensure_future(invoke(server.channel, kind, {"behaviour": "wait"}))
    await servicer.seen.started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(20):
        await servicer.seen.cancelled.wait()
    assert samples(kind, "CANCELLED") == before + 1


@every_kind
async def test_the_request_being_served_is_carried_on(
    kind: str, server: RunningServer, invoke: Invoke, servicer: Dynamic
) -> None:
    anonymous = await server.channel_as(None)
    token = await server.issuer.token(BOB)
    with acting_as(BOB, token=token, deadline=SystemClock().monotonic() + 30) as caller:
        await invoke(anonymous, kind, {"text": "hi"})
    (seen,) = servicer.seen.contexts
    assert (seen.caller.tenant_id, seen.caller.subject) == (caller.tenant_id, caller.subject)
    assert seen.request_id == "test-request"
    assert 0 < seen.deadline - SystemClock().monotonic() < 30


async def test_the_callers_token_goes_before_the_services_own(
    server: RunningServer, invoke: Invoke, servicer: Dynamic
) -> None:
    own = await server.channel_as(ALICE)
    with acting_as(BOB, token=await server.issuer.token(BOB)):
        await invoke(own, "UnaryUnary", {"text": "hi"})
    await invoke(own, "UnaryUnary", {"text": "hi"})
    assert [seen.caller.subject for seen in servicer.seen.contexts] == ["bob", "alice"]


async def test_work_that_outlives_a_token_sends_a_new_one_with_each_call(
    server: RunningServer, invoke: Invoke, servicer: Dynamic
) -> None:
    anonymous = await server.channel_as(None)
    tokens = [await server.issuer.token(ALICE), await server.issuer.token(BOB)]

    async def renew() -> str:
        return tokens.pop(0)

    with acting_as(BOB, token="expired"):
        request = current()
        assert request is not None
        with use(replace(request, renew_token=renew)):
            await invoke(anonymous, "UnaryUnary", {"text": "hi"})
            await invoke(anonymous, "UnaryUnary", {"text": "hi"})
    assert [seen.caller.subject for seen in servicer.seen.contexts] == ["alice", "bob"]


async def test_the_trace_goes_on(server: RunningServer, invoke: Invoke, servicer: Dynamic) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("parent") as parent:
        async with connect(
            server.address, PLAINTEXT, service_config="{}", token=server.issuer.token, tracer=tracer
        ) as channel:
            await invoke(channel, "UnaryUnary", {"text": "hi"})
    (seen,) = servicer.seen.contexts
    assert seen.trace_id == f"{parent.get_span_context().trace_id:032x}"


async def test_a_request_without_time_left_calls_nobody(
    server: RunningServer, invoke: Invoke, servicer: Dynamic
) -> None:
    with acting_as(deadline=SystemClock().monotonic() - 1):
        error = await failure(invoke(server.channel, "UnaryUnary", {"text": "hi"}))
    assert error.reason is Reason.DEADLINE_EXCEEDED
    assert servicer.seen.calls == 0


async def test_the_service_config_retries_what_it_says(probe: Dynamic, servicer: Dynamic, invoke: Invoke) -> None:
    fails = 2

    async def flaky(request: Dynamic, context: Context) -> Dynamic:
        nonlocal fails
        if fails:
            fails -= 1
            raise SomaError(Reason.UNAVAILABLE, "Not now")
        return probe.pb2.Answer(text="at last")

    servicer.UnaryUnary = flaky
    policy = {
        "maxAttempts": 3,
        "initialBackoff": "0.01s",
        "maxBackoff": "0.02s",
        "backoffMultiplier": 1,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    config = json.dumps({"methodConfig": [{"name": [{"service": "probe.v1.Probe"}], "retryPolicy": policy}]})
    async with served([(probe.grpc.add_ProbeServicer_to_server, servicer)], service_config=config) as running:
        assert await invoke(running.channel, "UnaryUnary", {"text": "hi"}) == ["at last"]


async def test_a_two_way_stream_is_written_and_read_by_hand(server: RunningServer, probe: Dynamic) -> None:
    call = probe.grpc.ProbeStub(server.channel).StreamStream()
    for text in ("one", "two"):
        await call.write(probe.pb2.Ask(text=text))
        assert (await call.read()).text == f"you said {text}"
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK
    assert call.done()


@pytest.mark.parametrize("kind", ["StreamUnary", "StreamStream"])
async def test_writing_to_a_stream_that_failed_raises(kind: str, server: RunningServer, probe: Dynamic) -> None:
    call = getattr(probe.grpc.ProbeStub(server.channel), kind)()
    error = None
    async with asyncio.timeout(20):
        while error is None:
            try:
                await call.write(probe.pb2.Ask(behaviour="soma"))
            except SomaError as raised:
                error = raised
    assert error.reason is Reason.BUDGET_EXCEEDED


@pytest.mark.parametrize("kind", ["StreamUnary", "StreamStream"])
async def test_a_refusal_is_heard_while_requests_are_written(
    kind: str, probe: Dynamic, servicer: Dynamic, invoke: Invoke
) -> None:
    """gRPC alone replaced about half of the refusals of two-way streams by an error of its own."""

    class Closed:
        def authorize(self, action: str, caller: Caller) -> None:
            raise SomaError(Reason.POLICY_DENIED, "nobody may")

    async with served([(probe.grpc.add_ProbeServicer_to_server, servicer)], authorizer=Closed()) as running:
        for _ in range(30):
            with pytest.raises(SomaError) as caught:
                await invoke(running.channel, kind, *[{"text": "hi"}] * 3)
            assert caught.value.reason is Reason.POLICY_DENIED


async def test_a_call_that_is_cancelled_before_it_started_never_starts(
    server: RunningServer, probe: Dynamic, servicer: Dynamic
) -> None:
    call = probe.grpc.ProbeStub(server.channel).UnaryUnary(probe.pb2.Ask())
    assert not call.done()
    assert call.cancel()
    assert call.cancelled()
    assert not call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert servicer.seen.calls == 0


async def test_a_stream_left_early_is_cancelled_at_the_peer(
    server: RunningServer, probe: Dynamic, servicer: Dynamic
) -> None:
    from contextlib import aclosing

    messages = aiter(probe.grpc.ProbeStub(server.channel).UnaryStream(probe.pb2.Ask(behaviour="wait")))
    async with aclosing(messages):
        assert (await anext(messages)).text == "0"
        await servicer.seen.started.wait()
    async with asyncio.timeout(20):
        await servicer.seen.cancelled.wait()


async def test_done_callbacks_are_called_also_when_given_before_the_start(
    server: RunningServer, probe: Dynamic
) -> None:
    done = asyncio.Event()
    call = probe.grpc.ProbeStub(server.channel).UnaryUnary(probe.pb2.Ask())
    call.add_done_callback(lambda _: done.set())
    await call
    async with asyncio.timeout(20):
        await done.wait()


async def test_a_failing_token_source_fails_the_call(server: RunningServer, invoke: Invoke) -> None:
    async def broken() -> str:
        raise SomaError(Reason.DEPENDENCY_UNAVAILABLE, "The secret store does not answer")

    async with connect(server.address, PLAINTEXT, service_config="{}", token=broken) as channel:
        error = await failure(invoke(channel, "UnaryUnary", {"text": "hi"}))
    assert error.reason is Reason.DEPENDENCY_UNAVAILABLE


async def test_an_address_that_is_not_set_is_named() -> None:
    with pytest.raises(SettingsError, match="SA01_PEERS"):
        async with connect("", PLAINTEXT, service_config="{}"):
            pass
