"""The aggregated discovery service (ADS): sends each proxy the resources it subscribed to, whenever they change."""

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


class SnapshotCache:
    """The newest snapshot. Streams are notified of each new one; before the first, they wait."""

    def __init__(self) -> None:
        self._current: Snapshot | None = None
        self._subscribers: set[asyncio.Event] = set()

    @property
    def current(self) -> Snapshot | None:
        """The newest snapshot."""
        return self._current

    def publish(self, snapshot: Snapshot) -> None:
        """Replaces the snapshot; every stream sends the resources that differ."""
        self._current = snapshot
        for event in self._subscribers:
            event.set()

    def subscribe(self, event: asyncio.Event) -> None:
        """Sets the event at each change from now on."""
        self._subscribers.add(event)

    def unsubscribe(self, event: asyncio.Event) -> None:
        """Removes the event."""
        self._subscribers.discard(event)


class _Stream(Protocol, Generic[Request_contra, Response_co]):
    def receive(self, request: Request_contra) -> None: ...

    def pending_responses(self, snapshot: Snapshot) -> Sequence[Response_co]: ...


class AggregatedDiscovery:
    """Serves snapshots to any number of proxies. `on_rejected(type, reason)` is called when a proxy rejects a resource.

    Snapshots contain private keys: with mutual TLS, only a peer whose certificate has the URI SAN `proxy` is served.
    """

    def __init__(self, cache: SnapshotCache, on_rejected: Callable[[str, str], None], proxy: str | None = None) -> None:
        self._cache = cache
        self._on_rejected = on_rejected
        self._proxy = proxy

    def handler(self) -> grpc.GenericRpcHandler:
        """Returns the handler to add to a server."""
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
        await self._require_proxy(context)
        async for response in self._serve(requests, SotwStream(self._on_rejected)):
            yield response

    async def _delta(
        self, requests: AsyncIterator[discovery.DeltaDiscoveryRequest], context: Context
    ) -> AsyncIterator[discovery.DeltaDiscoveryResponse]:
        await self._require_proxy(context)
        async for response in self._serve(requests, DeltaStream(self._on_rejected)):
            yield response

    async def _require_proxy(self, context: Context) -> None:
        names = context.auth_context().get(_PEER_NAMES, ())
        if self._proxy is not None and self._proxy.encode() not in names:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "only the edge's proxies are served here")

    async def _serve(
        self, requests: AsyncIterator[Request_contra], stream: _Stream[Request_contra, Response_co]
    ) -> AsyncIterator[Response_co]:
        wake = asyncio.Event()
        self._cache.subscribe(wake)
        reader = asyncio.create_task(_read(requests, stream, wake))
        try:
            while not reader.done():
                await wake.wait()
                wake.clear()
                snapshot = self._cache.current
                for response in stream.pending_responses(snapshot) if snapshot is not None else ():
                    yield response
        finally:
            self._cache.unsubscribe(wake)
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
