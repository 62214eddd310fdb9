"""A small service of all four call kinds, compiled from its contract when the tests start."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from grpc_tools import protoc

from mesh.context import RequestContext, current
from mesh.errors import QuotaViolation, Reason, SomaError
from mesh.testing import RunningServer, served

Dynamic = SimpleNamespace
Context = grpc.aio.ServicerContext
Invoke = Callable[..., Awaitable[list[str]]]
ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dynamic]:
    """The generated modules of probe.proto: `pb2` and `grpc`."""
    out = tmp_path_factory.mktemp("probe")
    include = (
        Path(__file__).parent,
        ROOT / "protos",
        ROOT / "protos/third_party",
        Path(protoc.__file__).parent / "_proto",
    )
    arguments = ["protoc", *(f"-I{folder}" for folder in include), f"--python_out={out}", f"--grpc_python_out={out}"]
    assert protoc.main([*arguments, "probe.proto"]) == 0
    sys.path.insert(0, str(out))
    try:
        yield SimpleNamespace(pb2=importlib.import_module("probe_pb2"), grpc=importlib.import_module("probe_pb2_grpc"))
    finally:
        sys.path.remove(str(out))


@dataclass
class Seen:
    """What the servicer lived through."""

    contexts: list[RequestContext | None] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    request_ids: list[str] = field(default_factory=list)
    calls: int = 0


async def behave(ask: Dynamic, seen: Seen) -> str:
    """Do what the request asks for: answer, fail in some manner, or wait."""
    seen.calls += 1
    seen.contexts.append(current())
    seen.request_ids.append(ask.request_id)
    seen.started.set()
    if ask.behaviour == "soma":
        raise SomaError(
            Reason.BUDGET_EXCEEDED,
            "The monthly budget is used up",
            metadata={"budget": "monthly"},
            quotas=[QuotaViolation("budget:monthly", "1 USD over")],
            retry_after_s=2.5,
        )
    if ask.behaviour == "unknown":
        raise RuntimeError("password=hunter2 at /srv/internal/path")
    if ask.behaviour == "cancelled inside":
        task = asyncio.ensure_future(asyncio.Event().wait())
        task.cancel()
        await task
    if ask.behaviour == "wait":
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.cancelled.set()
            raise
    return f"you said {ask.text}"


@pytest.fixture
def servicer(probe: Dynamic) -> Dynamic:
    class Servicer(probe.grpc.ProbeServicer):
        def __init__(self) -> None:
            self.seen = Seen()

        def _answer(self, text: str) -> Dynamic:
            return probe.pb2.Answer(text=text)

        # The names are the contract's.
        async def UnaryUnary(  # noqa: N802
            self, request: Dynamic, context: Context
        ) -> Dynamic:
            return self._answer(await behave(request, self.seen))

        async def UnaryStream(  # noqa: N802
            self, request: Dynamic, context: Context
        ) -> AsyncIterator[Dynamic]:
            for index in range(3):
                if index == 1:
                    yield self._answer(await behave(request, self.seen))
                else:
                    yield self._answer(str(index))

        async def StreamUnary(  # noqa: N802
            self, request_iterator: AsyncIterator[Dynamic], context: Context
        ) -> Dynamic:
            return self._answer(",".join([await behave(ask, self.seen) async for ask in request_iterator]))

        async def StreamStream(  # noqa: N802
            self, request_iterator: AsyncIterator[Dynamic], context: Context
        ) -> AsyncIterator[Dynamic]:
            async for ask in request_iterator:
                yield self._answer(await behave(ask, self.seen))

        Open = UnaryUnary
        Undeclared = UnaryUnary

    return Servicer()


@pytest.fixture
async def server(probe: Dynamic, servicer: Dynamic) -> AsyncIterator[RunningServer]:
    async with served([(probe.grpc.add_ProbeServicer_to_server, servicer)]) as running:
        yield running


@pytest.fixture
async def raw(server: RunningServer) -> AsyncIterator[grpc.aio.Channel]:
    """A plain gRPC channel, to see what is on the wire."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield channel


@pytest.fixture
async def authorized(server: RunningServer) -> tuple[tuple[str, str], ...]:
    """Headers of a caller who may do everything."""
    return (("authorization", f"Bearer {await server.issuer.token()}"),)


@pytest.fixture
def invoke(probe: Dynamic) -> Invoke:
    """Call one kind of method with some requests and collect the texts of all answers."""

    async def call(channel: grpc.aio.Channel, kind: str, *asks: dict[str, object], **options: object) -> list[str]:
        stub = probe.grpc.ProbeStub(channel)
        requests = [probe.pb2.Ask(**ask) for ask in asks]

        async def stream() -> AsyncIterator[Dynamic]:
            for request in requests:
                yield request

        method = getattr(stub, kind)
        outcome = method(stream() if kind.startswith("Stream") else requests[0], **options)
        if kind.endswith("Stream"):
            try:
                return [answer.text async for answer in outcome]
            finally:
                outcome.cancel()  # a cancellation that comes as the request was sent does not reach the call otherwise
        return [(await outcome).text]

    return call
