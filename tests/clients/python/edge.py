"""A gRPC server in the test's process that answers as told, with the messages of the servers (gen/python)."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from google.protobuf import any_pb2, message_factory
from google.rpc import error_details_pb2, status_pb2

from soma.assets.v1 import asset_service_pb2
from soma.executor.v1 import job_service_pb2
from soma.gateway.v1 import health_service_pb2
from soma.provenance.v1 import trace_service_pb2
from soma_client import SomaClient, System

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from google.protobuf.message import Message

FILES = (asset_service_pb2, job_service_pb2, health_service_pb2, trace_service_pb2)
METHODS = {
    f"/{service.full_name}/{method.name}": method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
JOBS, ASSETS = "/soma.executor.v1.JobService", "/soma.assets.v1.AssetService"
KEY = "soma_test_c2VjcmV0.a2V5.c2ln"


class Silence:
    """A stream that sends nothing more and does not end."""


@dataclass(frozen=True)
class Failure:
    """How a call fails."""

    code: str = "UNAVAILABLE"
    message: str = "not now"
    reason: str = ""
    details: tuple[Message, ...] = ()

    async def end(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        code = grpc.StatusCode[self.code]
        info = [error_details_pb2.ErrorInfo(reason=self.reason, domain="soma")] if self.reason else []
        rich = status_pb2.Status(code=code.value[0], message=self.message)
        for detail in (*info, *self.details):
            rich.details.append(packed(detail))
        trailers = (("grpc-status-details-bin", rich.SerializeToString()),) if rich.details else ()
        await context.abort(code, self.message, trailing_metadata=trailers)


@dataclass(frozen=True)
class Received:
    """One call as the server saw it."""

    path: str
    messages: list[Any]
    metadata: dict[str, str]
    left_s: float | None

    @property
    def message(self) -> Any:  # noqa: ANN401
        return self.messages[0]


@dataclass
class Edge:
    """What the server was asked, and what it answers."""

    port: int = 0
    calls: list[Received] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    answers: dict[str, deque[Any]] = field(default_factory=lambda: defaultdict(deque))

    def answer(self, path: str, *answers: Any) -> None:  # noqa: ANN401
        """The next calls of a method get these: a message or Failure, a list of them for a stream, or a function."""
        self.answers[path].extend(answers)

    def asked(self, path: str) -> list[Any]:
        """The first message of each call of a method."""
        return [call.message for call in self.calls if call.path == path]

    def next(self, path: str, messages: list[Any], context: grpc.aio.ServicerContext[Any, Any]) -> Any:  # noqa: ANN401
        metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        self.calls.append(Received(path, messages, metadata, context.time_remaining()))
        if not self.answers[path]:
            return Failure("UNIMPLEMENTED", f"the test has no answer for {path}")
        found = self.answers[path].popleft()
        return found(messages[0]) if callable(found) else found


def packed(detail: Message) -> any_pb2.Any:
    packed_detail = any_pb2.Any()
    packed_detail.Pack(detail)
    return packed_detail


class Handler(grpc.GenericRpcHandler):
    """Serves every method of METHODS from an Edge."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        method = METHODS.get(str(details.method))
        if method is None:
            return None
        kind = message_factory.GetMessageClass(method.input_type)
        make: Callable[..., grpc.RpcMethodHandler[Any, Any]] = grpc.unary_unary_rpc_method_handler
        behavior: Callable[..., Any] = self._unary
        if method.client_streaming:
            make, behavior = grpc.stream_unary_rpc_method_handler, self._upload
        elif method.server_streaming:
            make, behavior = grpc.unary_stream_rpc_method_handler, self._stream
        path = str(details.method)

        return make(
            _bound(behavior, path, is_stream=method.server_streaming),
            request_deserializer=kind.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    async def _unary(self, path: str, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:  # noqa: ANN401
        return await _ended(self._edge.next(path, [request], context), context)

    async def _upload(self, path: str, requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:  # noqa: ANN401
        messages = [message async for message in requests]
        return await _ended(self._edge.next(path, messages, context), context)

    async def _stream(
        self,
        path: str,
        request: Any,  # noqa: ANN401
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[Any]:
        answer = self._edge.next(path, [request], context)
        try:
            for item in answer if isinstance(answer, list) else [answer]:
                if isinstance(item, Silence):
                    await asyncio.Event().wait()
                yield await _ended(item, context)
        except asyncio.CancelledError:
            self._edge.cancelled.set()
            raise


async def _ended(answer: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:  # noqa: ANN401
    if isinstance(answer, Failure):
        await answer.end(context)
    return answer


def _bound(behavior: Callable[..., Any], path: str, *, is_stream: bool) -> Callable[..., Any]:
    """The behaviour of one path, of the kind that the server library looks for."""
    if is_stream:

        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: ANN401
            async for message in behavior(path, request, context):
                yield message

        return stream

    async def single(request: Any, context: Any) -> Any:  # noqa: ANN401
        return await behavior(path, request, context)

    return single


@asynccontextmanager
async def serving(credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[Edge]:
    """A server on a free port of this machine, with TLS when credentials are given."""
    server, edge = grpc.aio.server(), Edge()
    server.add_generic_rpc_handlers((Handler(edge),))
    address = "127.0.0.1:0"
    edge.port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    await server.start()
    try:
        yield edge
    finally:
        await server.stop(None)


class Machine:
    """Time that only pauses move, pauses of the full length, ids that count."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.pauses: list[float] = []
        self.bounds: list[tuple[float, float]] = []
        self._ids = 0

    def system(self) -> System:
        return System(lambda: self.now_s, self._sleep, self._uniform, self._new_id)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds

    def _uniform(self, low: float, high: float) -> float:
        self.bounds.append((low, high))
        return high

    def _new_id(self) -> str:
        self._ids += 1
        return f"id-{self._ids}"


def client_of(edge: Edge, machine: Machine, **options: Any) -> SomaClient:  # noqa: ANN401
    """A client of the server, with a key unless something else is given."""
    known = {"api_key": KEY} if "token" not in options else {}
    return SomaClient(f"127.0.0.1:{edge.port}", plaintext=True, system=machine.system(), **known, **options)
