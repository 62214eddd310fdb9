"""Bodies of every shape are served alike."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import grpc
import pytest

from mesh import overhead
from mesh.errors import Reason, SomaError
from mesh.rpc.interceptor import add_response_header
from mesh.testing import FakeClock, RunningServer, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from types import SimpleNamespace

    Dynamic = SimpleNamespace
    Context = grpc.aio.ServicerContext
    Invoke = Callable[..., Awaitable[list[str]]]
    Start = Callable[..., Awaitable[RunningServer]]


@pytest.fixture
async def running(probe: Dynamic, request: pytest.FixtureRequest) -> AsyncIterator[Start]:
    """Serves a body as one method of the probe service."""
    from contextlib import AsyncExitStack

    stack = AsyncExitStack()

    async def start(kind: str, body: Callable[..., object]) -> RunningServer:
        servicer = probe.grpc.ProbeServicer()
        setattr(servicer, kind, body)
        return await stack.enter_async_context(served([(probe.grpc.add_ProbeServicer_to_server, servicer)]))

    async with stack:
        yield start


def answer(probe: Dynamic, text: str) -> Dynamic:
    return probe.pb2.Answer(text=text)


async def test_a_plain_function_runs_in_a_thread_with_its_context(
    running: Start, probe: Dynamic, invoke: Invoke
) -> None:
    from mesh import context

    def body(request: Dynamic, _context: Context) -> Dynamic:
        on_loop = threading.current_thread() is threading.main_thread()
        return answer(probe, f"{context.caller().subject} on loop: {on_loop}")

    server = await running("UnaryUnary", body)
    assert await invoke(server.channel, "UnaryUnary", {}) == ["alice on loop: False"]


async def test_a_plain_generator_streams(running: Start, probe: Dynamic, invoke: Invoke) -> None:
    def body(request: Dynamic, _context: Context) -> Iterator[Dynamic]:
        for text in "ab":
            yield answer(probe, text)

    server = await running("UnaryStream", body)
    assert await invoke(server.channel, "UnaryStream", {}) == ["a", "b"]


async def test_a_plain_function_reads_a_request_stream(running: Start, probe: Dynamic, invoke: Invoke) -> None:
    def body(requests: Iterator[Dynamic], _context: Context) -> Dynamic:
        return answer(probe, "".join(request.text for request in requests))

    server = await running("StreamUnary", body)
    assert await invoke(server.channel, "StreamUnary", {"text": "a"}, {"text": "b"}) == ["ab"]


async def test_a_plain_generator_answers_a_request_stream_and_fails_in_it(
    running: Start, probe: Dynamic, invoke: Invoke
) -> None:
    def body(requests: Iterator[Dynamic], _context: Context) -> Iterator[Dynamic]:
        for request in requests:
            if request.text == "stop":
                raise SomaError(Reason.CONFLICT, "Stopped")
            yield answer(probe, request.text)

    server = await running("StreamStream", body)
    assert await invoke(server.channel, "StreamStream", {"text": "a"}, {"text": "b"}) == ["a", "b"]
    with pytest.raises(SomaError, match="Stopped"):
        await invoke(server.channel, "StreamStream", {"text": "a"}, {"text": "stop"})


async def test_a_coroutine_may_write_its_messages_itself(running: Start, probe: Dynamic, invoke: Invoke) -> None:
    async def body(request: Dynamic, context: Context) -> None:
        await context.write(answer(probe, "a"))
        await context.write(answer(probe, "b"))

    server = await running("UnaryStream", body)
    assert await invoke(server.channel, "UnaryStream", {}) == ["a", "b"]


async def test_a_coroutine_may_return_an_iterator(running: Start, probe: Dynamic, invoke: Invoke) -> None:
    async def messages() -> AsyncIterator[Dynamic]:
        yield answer(probe, "a")

    async def body(request: Dynamic, context: Context) -> AsyncIterator[Dynamic]:
        return messages()

    server = await running("UnaryStream", body)
    assert await invoke(server.channel, "UnaryStream", {}) == ["a"]


@pytest.mark.parametrize("kind", ["UnaryUnary", "UnaryStream"])
async def test_a_handler_adds_response_headers(kind: str, running: Start, probe: Dynamic) -> None:
    async def one(request: Dynamic, context: Context) -> Dynamic:
        add_response_header("content-disposition", "inline")
        return answer(probe, "a")

    async def many(request: Dynamic, context: Context) -> AsyncIterator[Dynamic]:
        add_response_header("content-disposition", "inline")
        yield answer(probe, "a")

    server = await running(kind, one if kind == "UnaryUnary" else many)
    call = getattr(probe.grpc.ProbeStub(server.channel), kind)(probe.pb2.Ask())
    headers = dict(await call.initial_metadata())
    assert headers["content-disposition"] == "inline"


async def test_a_handler_may_send_its_own_headers(running: Start, probe: Dynamic) -> None:
    async def body(request: Dynamic, context: Context) -> Dynamic:
        await context.send_initial_metadata((("etag", "1"),))
        return answer(probe, "a")

    server = await running("UnaryUnary", body)
    call = probe.grpc.ProbeStub(server.channel).UnaryUnary(probe.pb2.Ask())
    assert dict(await call.initial_metadata())["etag"] == "1"
    assert (await call).text == "a"


@pytest.mark.parametrize("waits", [False, True])
async def test_who_waited_for_a_provider_tells_the_edge_its_own_time(
    waits: bool, running: Start, probe: Dynamic
) -> None:
    async def body(request: Dynamic, context: Context) -> Dynamic:
        clock = FakeClock()
        with overhead.upstream(clock):
            await clock.advance(30.0 if waits else 0.0)
        return answer(probe, "a")

    server = await running("UnaryUnary", body)
    call = probe.grpc.ProbeStub(server.channel).UnaryUnary(probe.pb2.Ask(), metadata=[("x-forwarded-proto", "https")])
    told = dict(await call.initial_metadata()).get("x-mesh-overhead-seconds")
    assert told == ("0.000000" if waits else None)


async def test_an_abort_by_the_handler_is_left_as_it_is(running: Start, probe: Dynamic, invoke: Invoke) -> None:
    async def body(request: Dynamic, context: Context) -> Dynamic:
        await context.abort(grpc.StatusCode.ABORTED, "by hand")

    server = await running("UnaryUnary", body)
    with pytest.raises(SomaError) as caught:
        await invoke(server.channel, "UnaryUnary", {})
    assert caught.value.reason is Reason.CONFLICT


async def test_an_empty_stream_still_sends_headers(running: Start, probe: Dynamic) -> None:
    async def body(request: Dynamic, context: Context) -> AsyncIterator[Dynamic]:
        for text in ():
            yield answer(probe, text)

    server = await running("UnaryStream", body)
    call = probe.grpc.ProbeStub(server.channel).UnaryStream(probe.pb2.Ask())
    assert [message async for message in call] == []
    assert "x-trace-id" in dict(await call.initial_metadata())


def test_headers_outside_of_a_call_are_a_mistake() -> None:
    with pytest.raises(LookupError):
        add_response_header("a", "b")
