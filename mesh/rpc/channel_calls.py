"""The calls of a mesh channel: those of gRPC, with errors translated and headers fetched at the start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import grpc.aio

from mesh.errors import Reason, SomaError
from mesh.rpc.outgoing import is_local_failure

if TYPE_CHECKING:
    from grpc import StatusCode

    from mesh.rpc.outgoing import OutgoingCall

Q = TypeVar("Q")
R = TypeVar("R")
C = TypeVar("C", bound=grpc.aio.Call)

Open = Callable[[], Awaitable[C]]


class LazyCall(Generic[C]):
    """A call that starts when it is first used, once, and that accounts for its end."""

    def __init__(self, outgoing_call: OutgoingCall, open_call: Open[C]) -> None:
        self._outgoing_call = outgoing_call
        self._open = open_call
        self._lock = asyncio.Lock()
        self._inner: C | None = None
        self._callbacks: list[Callable[[object], None]] = []
        self._cancelled = False

    async def started(self) -> C:
        """The call under way; starts it if need be. CancelledError when it was cancelled before."""
        if self._inner is not None:
            return self._inner
        async with self._lock:
            if self._cancelled:
                raise asyncio.CancelledError
            if self._inner is None:
                self._inner = await self._open()
                for callback in self._callbacks:
                    self._inner.add_done_callback(callback)
            return self._inner

    def cancel(self) -> bool:
        """Give the call up; False when it was over."""
        if self._inner is not None:
            return self._inner.cancel()
        first = not self._cancelled
        self._cancelled = True
        self._outgoing_call.end("CANCELLED")
        return first

    def cancelled(self) -> bool:
        """Whether the call was given up."""
        return self._cancelled if self._inner is None else self._inner.cancelled()

    def done(self) -> bool:
        """Whether the call is over."""
        return self._cancelled if self._inner is None else self._inner.done()

    def time_remaining(self) -> float | None:
        """Seconds until the deadline; None without one, or before the start."""
        return None if self._inner is None else self._inner.time_remaining()

    def add_done_callback(self, callback: Callable[[object], None]) -> None:
        """Have `callback` called with the gRPC call once it is over."""
        if self._inner is None:
            self._callbacks.append(callback)
        else:
            self._inner.add_done_callback(callback)

    async def initial_metadata(self) -> grpc.aio.Metadata:
        """The response headers."""
        return await (await self._start()).initial_metadata()

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        """The response trailers."""
        return await (await self._start()).trailing_metadata()

    async def code(self) -> StatusCode:
        """The code the call ended with."""
        return await (await self._start()).code()

    async def details(self) -> str:
        """The text the call ended with."""
        return await (await self._start()).details()

    async def wait_for_connection(self) -> None:
        """Wait until the call has a connection; fails like the call."""
        call = await self._start()
        with self._translating():
            await call.wait_for_connection()

    def _original_error(self, error: BaseException) -> BaseException:
        """What ended the call, where gRPC raises another error in its place."""
        return error

    async def _start(self) -> C:
        with self._translating():
            return await self.started()

    @contextmanager
    def _translating(self) -> Iterator[None]:
        """End the call with whatever is raised, and raise what it means."""
        try:
            yield
        except BaseException as error:
            translated_error = self._outgoing_call.failed(self._original_error(error))
            if translated_error is error:
                raise
            raise translated_error from error


class _SingleResponse(LazyCall[C], Generic[C, R]):
    """A call with one response."""

    def __await__(self) -> Generator[None, None, R]:
        return self._result().__await__()

    async def _result(self) -> R:
        call = await self._start()
        with self._translating():
            response = await cast("Awaitable[R]", call)
        self._outgoing_call.end()
        return response


class _Responses(LazyCall[C], Generic[C, R]):
    """A call with a stream of responses."""

    _messages: AsyncGenerator[R, None] | None = None

    def __aiter__(self) -> AsyncIterator[R]:
        if self._messages is None:
            self._messages = self._iterate()
        return self._messages

    async def read(self) -> object | R:
        """The next response, `grpc.aio.EOF` after the last."""
        call = cast("grpc.aio.UnaryStreamCall[object, R]", await self._start())
        with self._translating():
            message = await call.read()
        if message is grpc.aio.EOF:
            self._outgoing_call.end()
        return message

    async def _iterate(self) -> AsyncGenerator[R, None]:
        call = cast("grpc.aio.UnaryStreamCall[object, R]", await self._start())
        try:
            with self._translating():
                async for message in call:
                    yield message
        finally:
            # When nobody reads on, the peer need not send on.
            call.cancel()
        self._outgoing_call.end()


class _Requests(LazyCall[C], Generic[C, Q]):
    """A call with a stream of requests.

    When a peer ends the call while a request is being written, the failed write makes gRPC replace the peer's status by
    one of its own (grpc/grpc#36066). So the peer's is kept when it comes.
    """

    def __init__(self, outgoing_call: OutgoingCall, open_call: Open[C]) -> None:
        super().__init__(outgoing_call, open_call)
        self._ended: grpc.aio.AioRpcError | None = None
        self.add_done_callback(self._record_status)

    def _record_status(self, over: object) -> None:
        call = cast("C", over)
        code, details, trailers = (
            _result_of_finished(call.code()),
            _result_of_finished(call.details()),
            _result_of_finished(call.trailing_metadata()),
        )
        ended = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailers, details)
        if code is not grpc.StatusCode.OK and not is_local_failure(ended):
            self._ended = ended

    def _original_error(self, error: BaseException) -> BaseException:
        local = isinstance(error, grpc.aio.AioRpcError) and is_local_failure(error)
        return self._ended if local and self._ended is not None else error

    async def write(self, request: Q) -> None:
        """Send one request."""
        call = cast("grpc.aio.StreamUnaryCall[Q, object]", await self._start())
        with self._translating():
            try:
                await call.write(request)
            except (asyncio.InvalidStateError, grpc.aio.AioRpcError):
                await _raise_final_status(call)
                raise

    async def done_writing(self) -> None:
        """Say that no request follows."""
        call = cast("grpc.aio.StreamUnaryCall[Q, object]", await self._start())
        with self._translating():
            await call.done_writing()


async def _raise_final_status(call: grpc.aio.Call) -> None:
    """Raise what ended a call that takes no more requests, as far as gRPC still knows.

    The status of a stream with one response can be awaited; that of a two-way stream was kept as it came.
    """
    if isinstance(call, grpc.aio.StreamUnaryCall):
        await call
    if await call.code() is grpc.StatusCode.OK:
        raise SomaError(Reason.FAILED_PRECONDITION, "The call is over: its peer takes no more messages")
    headers, trailers = await call.initial_metadata(), await call.trailing_metadata()
    raise grpc.aio.AioRpcError(await call.code(), headers, trailers, await call.details())


def _result_of_finished(known: Coroutine[object, object, R]) -> R:
    """What a coroutine gives that has nothing to wait for."""
    try:
        known.send(None)
    except StopIteration as given:
        return cast("R", given.value)
    known.close()
    raise RuntimeError("a call that is over has no status yet")


class UnaryUnary(_SingleResponse[grpc.aio.UnaryUnaryCall[Q, R], R], grpc.aio.UnaryUnaryCall[Q, R]):
    """One request, one response."""


class UnaryStream(_Responses[grpc.aio.UnaryStreamCall[Q, R], R], grpc.aio.UnaryStreamCall[Q, R]):
    """One request, a stream of responses."""


class StreamUnary(
    _Requests[grpc.aio.StreamUnaryCall[Q, R], Q],
    _SingleResponse[grpc.aio.StreamUnaryCall[Q, R], R],
    grpc.aio.StreamUnaryCall[Q, R],
):
    """A stream of requests, one response."""


class StreamStream(
    _Requests[grpc.aio.StreamStreamCall[Q, R], Q],
    _Responses[grpc.aio.StreamStreamCall[Q, R], R],
    grpc.aio.StreamStreamCall[Q, R],
):
    """A stream of requests, a stream of responses."""
