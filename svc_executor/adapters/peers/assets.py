"""The assets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.api import httpbody_pb2

from mesh.errors import Reason, SomaError, not_found
from mesh.rpc.wellknown import struct
from soma.assets.v1 import asset_pb2, asset_service_pb2, asset_service_pb2_grpc
from soma_providers.port import InputArtefact
from svc_executor.domain.peers import AssetInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc.aio

    from svc_executor.domain.peers import Upload

_CHUNK_BYTES = 256 * 1024
_PAGE = 500


class AssetsPeer:
    """`Assets` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._assets = asset_service_pb2_grpc.AssetServiceStub(channel)

    async def store(self, upload: Upload) -> str:
        answer = await self._assets.UploadAsset(_messages(upload))
        return answer.asset_id

    async def describe(self, asset_id: str) -> AssetInfo:
        asset = await self._assets.GetAsset(asset_service_pb2.GetAssetRequest(asset_id=asset_id))
        if asset.status != asset_pb2.ASSET_STATUS_READY:
            raise not_found("asset", asset_id)
        return AssetInfo(asset_id, asset.media_type, asset.filename, asset.size_bytes)

    async def load(self, asset: AssetInfo) -> InputArtefact:
        request = asset_service_pb2.DownloadAssetRequest(asset_id=asset.asset_id)
        parts = [body.data async for body in self._assets.DownloadAsset(request)]
        return InputArtefact(asset.asset_id, asset.media_type, asset.filename, b"".join(parts))

    async def release(self, asset_id: str, job_id: str, reason: str) -> None:
        request = asset_service_pb2.DeleteAssetRequest(asset_id=asset_id, job_id=job_id, reason=reason)
        try:
            await self._assets.DeleteAsset(request)
        except SomaError as error:
            if error.reason is not Reason.NOT_FOUND:
                raise

    async def list_held(self, job_id: str) -> list[str]:
        found: list[str] = []
        request = asset_service_pb2.ListAssetsRequest(job_id=job_id, page_size=_PAGE, only_held=True)
        while True:
            page = await self._assets.ListAssets(request)
            found.extend(asset.asset_id for asset in page.assets if asset.status == asset_pb2.ASSET_STATUS_READY)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token


def _messages(upload: Upload) -> Iterator[asset_service_pb2.UploadAssetRequest]:
    artefact = upload.artefact
    content = memoryview(artefact.content)
    yield asset_service_pb2.UploadAssetRequest(
        filename=artefact.filename,
        asset_type=artefact.asset_type,
        classification=upload.classification,
        origin=asset_pb2.Origin(
            session_id=upload.session_id,
            job_id=upload.job_id,
            step_id=upload.step_id,
            execution_id=upload.execution_id,
        ),
        metadata=struct(artefact.metadata),
        request_id=upload.request_id,
        size_bytes=len(content),
        content=httpbody_pb2.HttpBody(content_type=artefact.media_type, data=bytes(content[:_CHUNK_BYTES])),
    )
    for start in range(_CHUNK_BYTES, len(content), _CHUNK_BYTES):
        part = bytes(content[start : start + _CHUNK_BYTES])
        yield asset_service_pb2.UploadAssetRequest(content=httpbody_pb2.HttpBody(data=part))
