"""Calls are shared among the replicas of a context."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import TypeAdapter, ValidationError

from mesh.clock import SystemClock
from mesh.rpc.client import connect
from mesh.rpc.targets import endpoints
from mesh.settings import PeerAddress, ServerSettings
from mesh.testing import ALICE, PLAINTEXT, Issuer, served
from mesh.testing.contract import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import SimpleNamespace as Dynamic

    import grpc.aio

    Context = grpc.aio.ServicerContext[object, object]

ADDRESS = TypeAdapter[str](PeerAddress)
CONFIG = (Path(__file__).parents[4] / "protos" / "service_config.json").read_text()


class Replicas:
    """Servers of one service, each of which knows its own name; `answers` counts who answered."""

    def __init__(self, probe: Dynamic, issuer: Issuer) -> None:
        self.probe = probe
        self.issuer = issuer
        self.answers: Counter[str] = Counter()
        self.connections: set[str] = set()
        self.addresses: dict[str, str] = {}
        self._running: dict[str, AsyncExitStack] = {}

    async def start(self, name: str, **settings: float) -> None:
        replicas = self

        class Servicer(self.probe.grpc.ProbeServicer):  # type: ignore[name-defined,misc]
            async def UnaryUnary(self, request: object, context: Context) -> object:  # noqa: N802 - the contract's
                replicas.answers[name] += 1
                replicas.connections.add(context.peer())
                return replicas.probe.pb2.Answer(text=name)

        bind = self.addresses.get(name, "127.0.0.1:0")
        chosen = {"bind": bind, "drain_seconds": 2.0, "stream_drain_seconds": 0.0, **settings}
        registration = (self.probe.grpc.add_ProbeServicer_to_server, Servicer())
        running = served([registration], issuer=self.issuer, settings=ServerSettings.model_validate(chosen))
        stack = self._running[name] = AsyncExitStack()
        self.addresses[name] = (await stack.enter_async_context(running)).address

    async def stop(self, name: str) -> None:
        await self._running.pop(name).aclose()

    @asynccontextmanager
    async def channel(self, target: str) -> AsyncIterator[grpc.aio.Channel]:
        async def token() -> str:
            return await self.issuer.token(ALICE)

        async with connect(target, PLAINTEXT, service_config=CONFIG, token=token) as channel:
            yield channel

    async def call(self, channel: grpc.aio.Channel, times: int = 60) -> Counter[str]:
        before = self.answers.copy()
        for _ in range(times):
            await self.probe.grpc.ProbeStub(channel).UnaryUnary(self.probe.pb2.Ask(text="hello"))
        return self.answers - before


@pytest.fixture
async def replicas(probe: Dynamic) -> AsyncIterator[Replicas]:
    made = Replicas(probe, await Issuer.create(SystemClock()))
    try:
        yield made
    finally:
        for name in ("a", "b", "c"):
            if name in made._running:
                await made.stop(name)


async def test_calls_are_shared_among_all_replicas_that_there_are(replicas: Replicas) -> None:
    for name in ("a", "b", "c"):
        await replicas.start(name)
    async with replicas.channel("ipv4:" + ",".join(replicas.addresses.values())) as channel:

        async def all_answer() -> bool:
            return len(await replicas.call(channel)) == 3

        await eventually(all_answer)

        async def shared(names: set[str]) -> bool:
            # A change of any connection makes the policy start its round anew, at any replica: shares differ a little.
            shares = await replicas.call(channel)
            return shares.keys() == names and max(shares.values()) - min(shares.values()) <= 10

        await eventually(lambda: shared({"a", "b", "c"}))
        await replicas.stop("b")
        await eventually(lambda: shared({"a", "c"}))

        await replicas.start("b")
        await eventually(all_answer)


async def test_a_name_stands_for_its_addresses(replicas: Replicas) -> None:
    await replicas.start("a")
    port = replicas.addresses["a"].rpartition(":")[2]
    async with replicas.channel(f"dns:///localhost:{port}") as channel:
        assert await replicas.call(channel, 3) == {"a": 3}


async def test_an_old_connection_is_given_up_without_losing_a_call(replicas: Replicas) -> None:
    await replicas.start("a", max_connection_age_seconds=0.05)
    async with replicas.channel(replicas.addresses["a"]) as channel:

        async def has_moved() -> bool:
            await replicas.call(channel, 5)
            return len(replicas.connections) > 2

        await eventually(has_moved)


@pytest.mark.parametrize(
    ("address", "hosts"),
    [
        ("registry:7000", ("registry:7000",)),
        ("dns:///registry.mesh.svc:7000", ("registry.mesh.svc:7000",)),
        ("ipv4:10.0.0.1:7000,10.0.0.2:7001", ("10.0.0.1:7000", "10.0.0.2:7001")),
        ("ipv6:[::1]:7000,[::2]:7001", ("[::1]:7000", "[::2]:7001")),
        ("[::1]:7000", ("[::1]:7000",)),
    ],
)
def test_the_forms_of_an_address(address: str, hosts: tuple[str, ...]) -> None:
    assert endpoints(ADDRESS.validate_python(address)) == hosts


@pytest.mark.parametrize(
    "address", ["registry", "a:1,b:2", "ipv4:registry:7000", "dns:///a:1,b:2", "http://registry:7000", "ipv4:", ""]
)
def test_other_forms_of_an_address_are_refused(address: str) -> None:
    with pytest.raises(ValidationError):
        ADDRESS.validate_python(address)
