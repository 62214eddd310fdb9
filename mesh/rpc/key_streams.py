"""The gateway's streams of revoked and of existing keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from soma.gateway.v1.identity_service_pb2 import WatchApiKeysRequest, WatchRevocationsRequest
from soma.gateway.v1.identity_service_pb2_grpc import ApiKeyServiceStub

if TYPE_CHECKING:
    import grpc.aio

    from mesh.rpc.api_keys import Watch as WatchExisting
    from mesh.rpc.revoked_keys import Watch as WatchRevoked


@dataclass(frozen=True)
class KeyStreams:
    """Opens each of the two streams."""

    revoked: WatchRevoked
    existing: WatchExisting

    @classmethod
    def from_gateway(cls, gateway: grpc.aio.Channel) -> KeyStreams:
        """The streams of the gateway at the end of a channel."""
        keys = ApiKeyServiceStub(gateway)
        return cls(
            revoked=lambda known: keys.WatchRevocations(WatchRevocationsRequest(bucket_digests=known)),
            existing=lambda known: keys.WatchApiKeys(WatchApiKeysRequest(bucket_digests=known)),
        )
