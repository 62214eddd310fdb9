"""An open stream ends with the credential of its caller."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.context import Caller
from mesh.errors import Reason, SomaError
from mesh.identity import SERVICE_ROLE, SYSTEM_TENANT, Claims
from mesh.rpc.interceptor import Access, Call, MethodInfo
from mesh.rpc.interceptors.stream_identity import StreamIdentity
from mesh.testing import FakeClock, served
from mesh.testing.contract import eventually
from mesh.testing.tokens import ALICE, BOB, TOKEN_S
from soma.assets.v1 import asset_service_pb2 as _assets  # noqa: F401 - puts its contract into the pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from datetime import datetime

    from mesh.testing import RunningServer
    from tests.unit.mesh.rpc.conftest import Dynamic

STREAMS = ("UnaryStream", "StreamUnary", "StreamStream")
EXECUTOR = "spiffe://soma/executor"
ON_BEHALF = Claims(ALICE.tenant_id, ALICE.subject, ALICE.roles, key_id=ALICE.key_id, actor="executor")
OWN_WORK = Claims(SYSTEM_TENANT, EXECUTOR, (SERVICE_ROLE,), key_id="own")


class Announced:
    """Announces revocations."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Iterable[str]], None]] = []

    def on_revoked(self, listener: Callable[[Iterable[str]], None]) -> None:
        self._listeners.append(listener)

    def revoke(self, *key_ids: str) -> None:
        for listener in self._listeners:
            listener(key_ids)


class Open:
    """Calls that wait for ever at a server, each with how it ended."""

    def __init__(self, running: RunningServer, probe: Dynamic, servicer: Dynamic) -> None:
        self._running = running
        self._probe = probe
        self._seen = servicer.seen
        self._calls: list[asyncio.Task[SomaError | None]] = []

    async def call(self, kind: str, caller: Claims = ALICE) -> asyncio.Task[SomaError | None]:
        """Open a call, which is being served when this is back."""
        stub = self._probe.grpc.ProbeStub(await self._running.channel_as(caller))
        made = asyncio.create_task(self._end_of(getattr(stub, kind), kind))
        self._calls.append(made)
        await eventually(lambda: self._seen.calls == len(self._calls) or made.done())
        return made

    async def _end_of(self, method: Dynamic, kind: str) -> SomaError | None:
        ask = self._probe.pb2.Ask(behaviour="wait")

        async def asks() -> AsyncIterator[Dynamic]:
            yield ask
            await asyncio.Event().wait()

        try:
            outcome = method(asks() if kind.startswith("Stream") else ask)
            if kind.endswith("Stream"):
                async for _ in outcome:
                    pass
            else:
                await outcome
        except SomaError as error:
            return error
        return None

    async def close(self) -> None:
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def announced() -> Announced:
    return Announced()


@pytest.fixture
async def opened(probe: Dynamic, servicer: Dynamic, clock: FakeClock, announced: Announced) -> AsyncIterator[Open]:
    registration = (probe.grpc.add_ProbeServicer_to_server, servicer)
    async with served([registration], clock=clock, revocations=announced) as running:
        calls = Open(running, probe, servicer)
        yield calls
        await calls.close()


@pytest.mark.parametrize("kind", STREAMS)
async def test_a_revocation_ends_the_streams_of_its_key(kind: str, opened: Open, announced: Announced) -> None:
    hers = [await opened.call(kind) for _ in range(2)]
    his = await opened.call(kind, BOB)
    announced.revoke("another", ALICE.key_id)
    ends = await asyncio.gather(*hers)
    assert [end and (end.reason, end.message) for end in ends] == [
        (Reason.UNAUTHENTICATED, "The token has been revoked")
    ] * 2
    assert not his.done()


@pytest.mark.parametrize("kind", STREAMS)
async def test_a_stream_ends_when_its_token_expires(kind: str, opened: Open, clock: FakeClock) -> None:
    stream = await opened.call(kind)
    await clock.advance(TOKEN_S)
    end = await stream
    assert end is not None
    assert (end.reason, end.message) == (
        Reason.UNAUTHENTICATED,
        "The token has expired: get a new one, and resume",
    )


@pytest.mark.parametrize("caller", [OWN_WORK, ON_BEHALF], ids=["own work", "on behalf"])
async def test_streams_of_services_outlive_their_tokens(caller: Claims, opened: Open, clock: FakeClock) -> None:
    internal, hers = await opened.call("UnaryStream", caller), await opened.call("UnaryStream")
    await clock.advance(TOKEN_S)
    await hers
    assert not internal.done()


async def test_a_revocation_ends_what_a_service_does_on_behalf_of_the_key(opened: Open, announced: Announced) -> None:
    stream = await opened.call("StreamUnary", ON_BEHALF)
    announced.revoke(ALICE.key_id)
    end = await stream
    assert end is not None
    assert end.reason is Reason.UNAUTHENTICATED


def stream_of(key_id: str, method: str = "probe.v1.Probe/UnaryStream", expires_at: datetime | None = None) -> Call:
    """A call that opens a response stream, as the interceptor sees it."""
    service, _, name = method.partition("/")
    access = Access(action="probe.ask", public=False)
    method = MethodInfo(service, name, request_streaming=False, response_streaming=True, access=access)
    caller = Caller("acme", "alice", (), (), key_id, token="", expires_at=expires_at)
    return Call(method, None, None, {}, caller=caller)  # type: ignore[arg-type]


async def test_a_stream_that_ended_is_forgotten(announced: Announced, clock: FakeClock) -> None:
    chain = StreamIdentity(clock, announced)

    async def ended(_: Call) -> None:
        """A stream of no messages."""

    await chain.intercept(stream_of("key"), ended)
    announced.revoke("key")
    this = asyncio.current_task()
    assert this is not None
    assert this.cancelling() == 0


async def test_a_caller_that_leaves_is_no_failed_credential(announced: Announced, clock: FakeClock) -> None:
    chain = StreamIdentity(clock, announced)
    waiting = asyncio.Event()

    async def wait(_: Call) -> None:
        waiting.set()
        await asyncio.Event().wait()

    call = asyncio.create_task(chain.intercept(stream_of("key"), wait))
    await waiting.wait()
    announced.revoke("key")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_download_outlives_its_token_and_not_its_key(announced: Announced, clock: FakeClock) -> None:
    chain, waiting = StreamIdentity(clock, announced), asyncio.Event()

    async def wait(_: Call) -> None:
        waiting.set()
        await asyncio.Event().wait()

    download = stream_of("key", "soma.assets.v1.AssetService/DownloadAsset", clock.now() + timedelta(minutes=5))
    call = asyncio.create_task(chain.intercept(download, wait))
    await waiting.wait()
    await clock.advance(301)
    assert not call.done()
    announced.revoke("key")
    with pytest.raises(SomaError, match="revoked"):
        await call
