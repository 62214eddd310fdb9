"""A channel whose calls, of all four kinds, carry the request's context and fail with SomaError.

A call starts when it is first awaited, read or written to, because its headers may have to be fetched.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import grpc.aio

from mesh.rpc import channel_calls
from mesh.rpc.outgoing import ClientCallPreparer, Method, OutgoingCall

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

Q = TypeVar("Q")
R = TypeVar("R")
C = TypeVar("C", bound=grpc.aio.Call)
Serializer = Callable[[Q], bytes]
Deserializer = Callable[[bytes], R]
Metadata = grpc.aio.Metadata | Sequence[tuple[str, str | bytes]]
Requests = AsyncIterator[Q] | Iterator[Q]
Start = Callable[[grpc.aio.Metadata, float | None], C]


class _MultiCallable:
    """What the calls of one method have in common."""

    def __init__(self, path: str, outgoing: ClientCallPreparer) -> None:
        self._method = Method.parse(path)
        self._outgoing = outgoing

    def _prepare(
        self, metadata: Metadata | None, timeout: float | None, start: Start[C]
    ) -> tuple[OutgoingCall, channel_calls.Open[C]]:
        outgoing_call = self._outgoing.begin(self._method)

        async def open_call() -> C:
            remaining = self._outgoing.timeout(timeout)
            headers = await self._outgoing.metadata(tuple(metadata or ()), outgoing_call.span)
            return start(headers, remaining)

        return outgoing_call, open_call


class _UnaryUnary(_MultiCallable, grpc.aio.UnaryUnaryMultiCallable[Q, R]):
    def __init__(self, path: str, outgoing: ClientCallPreparer, inner: grpc.aio.UnaryUnaryMultiCallable[Q, R]) -> None:
        super().__init__(path, outgoing)
        self._inner = inner

    def __call__(
        self,
        request: Q,
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> grpc.aio.UnaryUnaryCall[Q, R]:
        def start(headers: grpc.aio.Metadata, seconds: float | None) -> grpc.aio.UnaryUnaryCall[Q, R]:
            return self._inner(
                request,
                timeout=seconds,
                metadata=headers,
                credentials=credentials,
                wait_for_ready=wait_for_ready,
                compression=compression,
            )

        return channel_calls.UnaryUnary(*self._prepare(metadata, timeout, start))


class _UnaryStream(_MultiCallable, grpc.aio.UnaryStreamMultiCallable[Q, R]):
    def __init__(self, path: str, outgoing: ClientCallPreparer, inner: grpc.aio.UnaryStreamMultiCallable[Q, R]) -> None:
        super().__init__(path, outgoing)
        self._inner = inner

    def __call__(
        self,
        request: Q,
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> grpc.aio.UnaryStreamCall[Q, R]:
        def start(headers: grpc.aio.Metadata, seconds: float | None) -> grpc.aio.UnaryStreamCall[Q, R]:
            return self._inner(
                request,
                timeout=seconds,
                metadata=headers,
                credentials=credentials,
                wait_for_ready=wait_for_ready,
                compression=compression,
            )

        return channel_calls.UnaryStream(*self._prepare(metadata, timeout, start))


class _StreamUnary(_MultiCallable, grpc.aio.StreamUnaryMultiCallable[Q, R]):
    def __init__(self, path: str, outgoing: ClientCallPreparer, inner: grpc.aio.StreamUnaryMultiCallable[Q, R]) -> None:
        super().__init__(path, outgoing)
        self._inner = inner

    def __call__(  # noqa: PLR0917 - the signature of gRPC
        self,
        request_iterator: Requests[Q] | None = None,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> grpc.aio.StreamUnaryCall[Q, R]:
        def start(headers: grpc.aio.Metadata, seconds: float | None) -> grpc.aio.StreamUnaryCall[Q, R]:
            return self._inner(request_iterator, seconds, headers, credentials, wait_for_ready, compression)

        return channel_calls.StreamUnary(*self._prepare(metadata, timeout, start))


class _StreamStream(_MultiCallable, grpc.aio.StreamStreamMultiCallable[Q, R]):
    def __init__(
        self, path: str, outgoing: ClientCallPreparer, inner: grpc.aio.StreamStreamMultiCallable[Q, R]
    ) -> None:
        super().__init__(path, outgoing)
        self._inner = inner

    def __call__(  # noqa: PLR0917 - the signature of gRPC
        self,
        request_iterator: Requests[Q] | None = None,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> grpc.aio.StreamStreamCall[Q, R]:
        def start(headers: grpc.aio.Metadata, seconds: float | None) -> grpc.aio.StreamStreamCall[Q, R]:
            return self._inner(request_iterator, seconds, headers, credentials, wait_for_ready, compression)

        return channel_calls.StreamStream(*self._prepare(metadata, timeout, start))


class MeshChannel(grpc.aio.Channel):
    """The channel that generated stubs are built on."""

    def __init__(self, inner: grpc.aio.Channel, outgoing: ClientCallPreparer) -> None:
        self._inner = inner
        self._outgoing = outgoing

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """Close the connections, calls under way after `grace` seconds."""
        await self._inner.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """The state of the connection."""
        return self._inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait until the state is another one."""
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Wait until calls can be sent."""
        await self._inner.channel_ready()

    def unary_unary(
        self,
        method: str,
        request_serializer: Serializer[Q] | None = None,
        response_deserializer: Deserializer[R] | None = None,
        _registered_method: bool = False,
    ) -> grpc.aio.UnaryUnaryMultiCallable[Q, R]:
        """Calls with one request and one response."""
        inner = self._inner.unary_unary(method, request_serializer, response_deserializer)
        return _UnaryUnary(method, self._outgoing, inner)

    def unary_stream(
        self,
        method: str,
        request_serializer: Serializer[Q] | None = None,
        response_deserializer: Deserializer[R] | None = None,
        _registered_method: bool = False,
    ) -> grpc.aio.UnaryStreamMultiCallable[Q, R]:
        """Calls with one request and a stream of responses."""
        inner = self._inner.unary_stream(method, request_serializer, response_deserializer)
        return _UnaryStream(method, self._outgoing, inner)

    def stream_unary(
        self,
        method: str,
        request_serializer: Serializer[Q] | None = None,
        response_deserializer: Deserializer[R] | None = None,
        _registered_method: bool = False,
    ) -> grpc.aio.StreamUnaryMultiCallable[Q, R]:
        """Calls with a stream of requests and one response."""
        inner = self._inner.stream_unary(method, request_serializer, response_deserializer)
        return _StreamUnary(method, self._outgoing, inner)

    def stream_stream(
        self,
        method: str,
        request_serializer: Serializer[Q] | None = None,
        response_deserializer: Deserializer[R] | None = None,
        _registered_method: bool = False,
    ) -> grpc.aio.StreamStreamMultiCallable[Q, R]:
        """Calls with a stream of requests and a stream of responses."""
        inner = self._inner.stream_stream(method, request_serializer, response_deserializer)
        return _StreamStream(method, self._outgoing, inner)
