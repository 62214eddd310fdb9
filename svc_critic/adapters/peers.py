"""Assets, read from the asset store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError
from soma.assets.v1 import asset_pb2, asset_service_pb2
from svc_critic.domain.asset import EvaluatedAsset

if TYPE_CHECKING:
    from soma.assets.v1.asset_service_pb2_grpc import AssetServiceAsyncStub


class AssetsPeer:
    """Reads assets as the caller of the current request; PAYLOAD_TOO_LARGE above `max_bytes`."""

    def __init__(self, stub: AssetServiceAsyncStub, max_bytes: int) -> None:
        self._stub = stub
        self._max_bytes = max_bytes

    async def read(self, asset_id: str) -> EvaluatedAsset:
        """Returns an asset with its bytes."""
        asset = await self._stub.GetAsset(asset_service_pb2.GetAssetRequest(asset_id=asset_id))
        if asset.status != asset_pb2.ASSET_STATUS_READY:
            raise SomaError(Reason.FAILED_PRECONDITION, f"asset {asset_id!r} was erased and cannot be judged")
        if asset.size_bytes > self._max_bytes:
            text = f"asset {asset_id!r} is larger than the {self._max_bytes} bytes that are judged"
            raise SomaError(Reason.PAYLOAD_TOO_LARGE, text)
        chunks = self._stub.DownloadAsset(asset_service_pb2.DownloadAssetRequest(asset_id=asset_id))
        content = b"".join([chunk.data async for chunk in chunks])
        return EvaluatedAsset(asset.asset_id, asset.asset_type, asset.media_type, content)
