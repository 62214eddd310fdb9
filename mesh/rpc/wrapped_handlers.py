"""Puts a chain of interceptors around a handler of any of the four call kinds.

The wrapped handler is always a coroutine that writes stream messages itself. A generator would be left suspended
when a call is cancelled between two messages, and its interceptors would end in another task, some time later.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, aclosing, suppress
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from mesh.rpc import status
from mesh.rpc.interceptor import Call, Continuation, MethodInfo, enter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from mesh.clock import Clock
    from mesh.rpc.interceptor import Interceptor, ServicerContext

    Handler: TypeAlias = grpc.RpcMethodHandler[object, object]

Behaviour: TypeAlias = Callable[[object, "ServicerContext"], object]
T = TypeVar("T")


def wrap(handler: Handler, method: MethodInfo, chain: Sequence[Interceptor], clock: Clock) -> Handler:
    """The same method with the chain around it, the first interceptor outermost."""
    behaviour = _behaviour(handler)
    continuation = _streaming(behaviour) if method.response_streaming else _unary(behaviour)
    for interceptor in reversed(chain):
        continuation = _link(interceptor, continuation)

    async def serve(request: object, context: ServicerContext) -> object:
        remaining = context.time_remaining()
        deadline = None if remaining is None else clock.monotonic() + remaining
        call = Call(method, request, context, _text_metadata(context), deadline)
        enter(call)
        return await continuation(call)

    return _factory(method)(serve, _decoding(handler.request_deserializer), handler.response_serializer)


class Undecodable:
    """Stands for a request that is no message of its type; gRPC alone would answer with the text of its own error."""


def _decoding(deserialize: Callable[[bytes], object] | None) -> Callable[[bytes], object] | None:
    if deserialize is None:
        return None

    def decode(content: bytes) -> object:
        try:
            return deserialize(content)
        except DecodeError:
            return Undecodable()

    return decode


def _link(interceptor: Interceptor, inner: Continuation) -> Continuation:
    async def continuation(call: Call) -> object:
        return await interceptor.intercept(call, inner)

    return continuation


def _behaviour(handler: Handler) -> Behaviour:
    for behaviour in (handler.unary_unary, handler.unary_stream, handler.stream_unary, handler.stream_stream):
        if behaviour is not None:
            return cast("Behaviour", behaviour)
    raise TypeError("the handler serves no call kind")


def _factory(method: MethodInfo) -> Callable[..., Handler]:
    if method.request_streaming:
        return (
            grpc.stream_stream_rpc_method_handler if method.response_streaming else grpc.stream_unary_rpc_method_handler
        )
    return grpc.unary_stream_rpc_method_handler if method.response_streaming else grpc.unary_unary_rpc_method_handler


def _unary(behaviour: Behaviour) -> Continuation:
    start = _start(behaviour)

    async def continuation(call: Call) -> object:
        response = await _await_if_needed(await start(call))
        await _send_headers(call)
        return response

    return continuation


def _streaming(behaviour: Behaviour) -> Continuation:
    start = _start(behaviour)

    async def continuation(call: Call) -> object:
        produced = await start(call)
        if inspect.isawaitable(produced):
            # The body writes through the context, or returns an iterator of responses.
            await _send_headers(call)
            produced = await produced
        if produced is None:
            return None
        async with AsyncExitStack() as stack:
            responses = _iterated(produced)
            if inspect.isasyncgen(responses):
                await stack.enter_async_context(aclosing(responses))
            first = True
            async for response in responses:
                if first:
                    await _send_headers(call)
                    first = False
                await call.context.write(response)
            if first:
                await _send_headers(call)
        return None

    return continuation


def _start(behaviour: Behaviour) -> Callable[[Call], Awaitable[object]]:
    """Call the body: on the loop when it is asynchronous, otherwise in a thread so that it cannot stall the loop."""
    if inspect.iscoroutinefunction(behaviour) or inspect.isasyncgenfunction(behaviour):

        async def on_loop(call: Call) -> object:
            return behaviour(call.request, call.context)

        return on_loop

    async def in_thread(call: Call) -> object:
        request = call.request
        if call.method.request_streaming:
            request = _blocking(cast("AsyncIterator[object]", request), asyncio.get_running_loop())
        return await asyncio.to_thread(behaviour, request, call.context)

    return in_thread


async def _await_if_needed(produced: object) -> object:
    return await produced if inspect.isawaitable(produced) else produced


def _iterated(produced: object) -> AsyncIterator[object]:
    if isinstance(produced, AsyncIterator):
        return produced
    return _from_thread(iter(cast("Iterator[object]", produced)))


async def _from_thread(iterator: Iterator[object]) -> AsyncGenerator[object, None]:
    end = object()
    while (item := await asyncio.to_thread(next, iterator, end)) is not end:
        yield item


def _blocking(iterator: AsyncIterator[T], loop: asyncio.AbstractEventLoop) -> Iterator[T]:
    """The same messages for a thread, which waits for each."""

    async def following() -> T:
        return await anext(iterator)

    while True:
        try:
            item = asyncio.run_coroutine_threadsafe(following(), loop).result()
        except StopAsyncIteration:
            return
        yield item


async def _send_headers(call: Call) -> None:
    """Send the response headers that the chain wants; a handler that sent its own has had its say.

    They wait for the first message, because a failed call that has sent no headers can still be retried. Where no
    provider was waited for, the whole time is the mesh's own and the edge tells it, which spares a write.
    """
    if call.overhead_timer is not None and call.overhead_timer.upstream_s:
        call.response_headers.append((status.OVERHEAD_KEY, f"{call.overhead_timer.overhead_s:.6f}"))
    if call.response_headers:
        with suppress(grpc.aio.UsageError):
            await call.context.send_initial_metadata(tuple(call.response_headers))


def _text_metadata(context: ServicerContext) -> dict[str, str]:
    """The textual request headers; of a repeated one the first."""
    headers: dict[str, str] = {}
    for key, value in context.invocation_metadata() or ():
        if isinstance(value, str):
            headers.setdefault(key, value)
    return headers
