"""The aggregated discovery service: sends each proxy what it asks for, in order, whenever that changes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import envoy_data_plane.envoy.service.discovery.v3 as discovery
import grpc

from svc_gateway.rpc.xds.streams import DeltaStream, SotwStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from svc_gateway.rpc.xds.snapshot import Snapshot

    Context = grpc.aio.ServicerContext[object, object]

_PEER_NAMES = "x509_subject_alternative_name"
_SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
Request_contra = TypeVar("Request_contra", contravariant=True)
Response_co = TypeVar("Response_co", covariant=True)


class Feed:
    """Holds the newest snapshot and wakes the streams when another comes; before the first, they wait."""

    def __init__(self) -> None:
        self._current: Snapshot | None = None
        self._watching: set[asyncio.Event] = set()

    @property
    def current(self) -> Snapshot | None:
        """The newest snapshot."""
        return self._current

    def publish(self, snapshot: Snapshot) -> None:
        """Replace it; every stream sends what differs."""
        self._current = snapshot
        for event in self._watching:
            event.set()

    def attach(self, event: asyncio.Event) -> None:
        """Set the event at each change from now on."""
        self._watching.add(event)

    def detach(self, event: asyncio.Event) -> None:
        """Forget the event."""
        self._watching.discard(event)


class _Stream(Protocol, Generic[Request_contra, Response_co]):
    def receive(self, request: Request_contra) -> None: ...

    def due(self, snapshot: Snapshot) -> Sequence[Response_co]: ...


class AggregatedDiscovery:
    """Serves a feed to any number of proxies. `rejected(type, reason)` hears of configuration a proxy refused.

    Private keys are part of it: with mutual TLS, only a peer whose certificate names `proxy` is served.
    """

    def __init__(self, feed: Feed, rejected: Callable[[str, str], None], proxy: str | None = None) -> None:
        self._feed = feed
        self._rejected = rejected
        self._proxy = proxy

    def handler(self) -> grpc.GenericRpcHandler:
        """The service, to be added to a server."""
        return grpc.method_handlers_generic_handler(
            _SERVICE,
            {
                "StreamAggregatedResources": grpc.stream_stream_rpc_method_handler(
                    self._sotw,
                    request_deserializer=discovery.DiscoveryRequest.parse,
                    response_serializer=bytes,
                ),
                "DeltaAggregatedResources": grpc.stream_stream_rpc_method_handler(
                    self._delta,
                    request_deserializer=discovery.DeltaDiscoveryRequest.parse,
                    response_serializer=bytes,
                ),
            },
        )

    async def _sotw(
        self, requests: AsyncIterator[discovery.DiscoveryRequest], context: Context
    ) -> AsyncIterator[discovery.DiscoveryResponse]:
        await self._admit(context)
        async for response in self._serve(requests, SotwStream(self._rejected)):
            yield response

    async def _delta(
        self, requests: AsyncIterator[discovery.DeltaDiscoveryRequest], context: Context
    ) -> AsyncIterator[discovery.DeltaDiscoveryResponse]:
        await self._admit(context)
        async for response in self._serve(requests, DeltaStream(self._rejected)):
            yield response

    async def _admit(self, context: Context) -> None:
        names = context.auth_context().get(_PEER_NAMES, ())
        if self._proxy is not None and self._proxy.encode() not in names:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "only the edge's proxies are served here")

    async def _serve(
        self, requests: AsyncIterator[Request_contra], stream: _Stream[Request_contra, Response_co]
    ) -> AsyncIterator[Response_co]:
        wake = asyncio.Event()
        self._feed.attach(wake)
        reader = asyncio.create_task(_read(requests, stream, wake))
        try:
            while not reader.done():
                await wake.wait()
                wake.clear()
                snapshot = self._feed.current
                for response in stream.due(snapshot) if snapshot is not None else ():
                    yield response
        finally:
            self._feed.detach(wake)
            reader.cancel()
            with suppress(asyncio.CancelledError):
                await reader


async def _read(
    requests: AsyncIterator[Request_contra], stream: _Stream[Request_contra, Response_co], wake: asyncio.Event
) -> None:
    try:
        async for request in requests:
            stream.receive(request)
            wake.set()
    finally:
        wake.set()
