"""AssetService of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from google.api.httpbody_pb2 import HttpBody

from mesh.context import caller, current
from mesh.errors import invalid
from mesh.rpc.access import is_service
from mesh.rpc.paging import page_size, page_token_id
from soma.assets.v1 import asset_service_pb2 as pb
from soma.assets.v1.asset_service_pb2_grpc import AssetServiceServicer
from svc_assets.app import upload_deadline
from svc_assets.domain.model import ListQuery, ReleaseRequest
from svc_assets.domain.rules import is_active
from svc_assets.rpc.convert import asset_to_proto, upload_metadata_from_proto

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc.aio

    from soma.assets.v1 import asset_pb2
    from svc_assets.app import Assets, IngestUseCase
    from svc_assets.app.ports import ReadAudit
    from svc_assets.domain.model import Asset


class AssetServicer(AssetServiceServicer):
    """Uploads, downloads and deletes assets, and reads their metadata."""

    def __init__(self, ingest: IngestUseCase, assets: Assets, reads: ReadAudit, upload_deadline_s: float) -> None:
        self._ingest = ingest
        self._upload_deadline_s = upload_deadline_s
        self._assets = assets
        self._reads = reads

    async def UploadAsset(
        self, request_iterator: AsyncIterator[pb.UploadAssetRequest], context: grpc.aio.ServicerContext
    ) -> asset_pb2.Asset:
        """Stores a body that comes in chunks."""
        uploader = caller()
        async with upload_deadline(self._upload_deadline_s):
            first = await anext(aiter(request_iterator), None)
            if first is None:
                raise invalid("content", "must not be empty")
            upload = upload_metadata_from_proto(first, uploader)
            body = _body(first, request_iterator)
            return asset_to_proto(await self._ingest.store(uploader.tenant_id, uploader.subject, upload, body))

    async def GetAsset(self, request: pb.GetAssetRequest, context: grpc.aio.ServicerContext) -> asset_pb2.Asset:
        """Reads the metadata."""
        asset = await self._assets.get(caller().tenant_id, request.asset_id)
        self._reads.record("asset_metadata", asset.asset_id)
        return asset_to_proto(asset)

    async def DownloadAsset(
        self, request: pb.DownloadAssetRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[HttpBody]:
        """Reads the bytes."""
        asset, chunks = await self._assets.open(
            caller().tenant_id, request.asset_id, request.read_offset, request.read_limit
        )
        self._reads.record("asset", asset.asset_id)
        await context.send_initial_metadata(_headers(asset))
        content_type = _content_type(asset)
        async for chunk in chunks:
            yield HttpBody(content_type=content_type, data=chunk)

    async def ListAssets(
        self, request: pb.ListAssetsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListAssetsResponse:
        """Lists assets."""
        size = page_size(request)
        query = ListQuery(
            request.asset_type,
            request.job_id,
            request.include_tombstoned,
            size + 1,
            page_token_id(request.page_token),
            request.only_held,
        )
        assets = await self._assets.list(caller().tenant_id, query)
        self._reads.record("asset_list", request.job_id or "*")
        token = assets[size - 1].asset_id if len(assets) > size else ""
        return pb.ListAssetsResponse(assets=map(asset_to_proto, assets[:size]), next_page_token=token)

    async def DeleteAsset(self, request: pb.DeleteAssetRequest, context: grpc.aio.ServicerContext) -> asset_pb2.Asset:
        """Releases the hold of the caller, or that of a job."""
        releaser = caller()
        release = ReleaseRequest(releaser.subject, request.job_id, by_service=is_service(releaser))
        return asset_to_proto(await self._assets.delete(releaser.tenant_id, request.asset_id, release, request.reason))

    async def EraseAsset(self, request: pb.EraseAssetRequest, context: grpc.aio.ServicerContext) -> asset_pb2.Asset:
        """Releases every hold and deletes the bytes."""
        return asset_to_proto(await self._assets.erase(caller().tenant_id, request.asset_id, request.reason))


async def _body(first: pb.UploadAssetRequest, others: AsyncIterator[pb.UploadAssetRequest]) -> AsyncIterator[bytes]:
    yield first.content.data
    async for message in others:
        yield message.content.data


def _content_type(asset: Asset) -> str:
    is_text = asset.media_type.startswith("text/")
    return f"{asset.media_type}; charset=utf-8" if is_text else asset.media_type


def _headers(asset: Asset) -> tuple[tuple[str, str], ...]:
    """Headers for caching by checksum, against sniffing, and to download active content (RFC 6266, RFC 5987)."""
    disposition = "attachment" if is_active(asset.media_type) else "inline"
    ascii_name = asset.filename.encode("ascii", "replace").decode().replace("?", "_").replace('"', "_")
    request = current()
    trace = (("x-trace-id", request.trace_id),) if request and request.trace_id else ()
    return (
        ("etag", f'"{asset.checksum}"'),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("content-disposition", f"{disposition}; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(asset.filename)}"),
        *trace,
    )
