"""A real server within the test's process, reached over loopback through the real chain."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from mesh.clock import SystemClock
from mesh.rpc.access import declared_access
from mesh.rpc.client import connect
from mesh.rpc.interceptor_chain import standard_chain
from mesh.rpc.server import serving
from mesh.settings import ServerSettings, TlsSettings
from mesh.testing.tokens import ALICE, Issuer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import grpc.aio
    from opentelemetry.trace import Tracer

    from mesh.clock import Clock
    from mesh.context import Caller
    from mesh.identity import Claims
    from mesh.rpc.interceptors.authorization import Authorizer
    from mesh.rpc.interceptors.stream_identity import Revocations
    from mesh.rpc.registrar import AccessOf, Registration
    from mesh.rpc.server import Server

PLAINTEXT = TlsSettings(profile="test")


class AllowAll:
    """Lets every verified caller do everything."""

    def authorize(self, action: str, caller: Caller) -> None:
        """Yes."""


class RunningServer:
    """A running server. `channel` calls it as the caller that `served` was given."""

    def __init__(
        self, server: Server, issuer: Issuer, stack: AsyncExitStack, service_config: str, tracer: Tracer
    ) -> None:
        self.server = server
        self.issuer = issuer
        self._stack = stack
        self._service_config = service_config
        self._tracer = tracer
        self.channel: grpc.aio.Channel

    @property
    def address(self) -> str:
        """The host:port of the server."""
        return self.server.address

    async def channel_as(self, claims: Claims | None) -> grpc.aio.Channel:
        """A channel that calls as somebody else, or without identity; closed with the server."""
        token = None if claims is None else await self.issuer.token(claims)

        async def send() -> str:
            return token or ""

        channel = connect(self.address, PLAINTEXT, service_config=self._service_config, token=send, tracer=self._tracer)
        return await self._stack.enter_async_context(channel)


@asynccontextmanager
async def served(
    registrations: Sequence[Registration],
    *,
    caller: Claims | None = ALICE,
    authorizer: Authorizer | None = None,
    access_of: AccessOf = declared_access,
    clock: Clock | None = None,
    issuer: Issuer | None = None,
    settings: ServerSettings | None = None,
    revocations: Revocations | None = None,
    service_config: str = "{}",
    version: str = "",
    tracer: Tracer | None = None,
) -> AsyncIterator[RunningServer]:
    """Serve `registrations` on a free port behind the standard chain; every caller is allowed unless told otherwise.

    Spans of both sides go to `tracer`; without one they have ids, and nobody records them.
    """
    tracer = tracer or TracerProvider(ALWAYS_OFF, Resource.get_empty(), shutdown_on_exit=False).get_tracer("soma")
    clock = clock or SystemClock()
    issuer = issuer or await Issuer.create(clock)
    chain = standard_chain(
        verifier=issuer.verifier,
        authorizer=authorizer or AllowAll(),
        clock=clock,
        revocations=revocations,
        version=version,
        tracer=tracer,
    )
    settings = settings or ServerSettings(drain_seconds=2.0, stream_drain_seconds=0.0)
    async with AsyncExitStack() as stack:
        running = serving("test", settings, PLAINTEXT, registrations, chain, clock=clock, access_of=access_of)
        server = await stack.enter_async_context(running)
        made = RunningServer(server, issuer, stack, service_config, tracer)
        made.channel = await made.channel_as(caller)
        yield made
