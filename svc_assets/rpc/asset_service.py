"""AssetService: convert, call, convert back."""

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
from svc_assets.domain.model import Listing, Release
from svc_assets.domain.rules import is_active
from svc_assets.rpc.convert import asset_to, declared_from

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc.aio

    from soma.assets.v1 import asset_pb2
    from svc_assets.app import Assets, Ingesting
    from svc_assets.app.ports import ReadLog
    from svc_assets.domain.model import Asset


class AssetServicer(AssetServiceServicer):
    """Serves bytes and their metadata."""

    def __init__(self, ingest: Ingesting, assets: Assets, reads: ReadLog, upload_deadline_s: float) -> None:
        self._ingest = ingest
        self._upload_deadline_s = upload_deadline_s
        self._assets = assets
        self._reads = reads

    async def UploadAsset(
        self, request_iterator: AsyncIterator[pb.UploadAssetRequest], context: grpc.aio.ServicerContext
    ) -> asset_pb2.Asset:
        """Stores a body."""
        who = caller()
        async with upload_deadline(self._upload_deadline_s):
            first = await anext(aiter(request_iterator), None)
            if first is None:
                raise invalid("content", "must not be empty")
            body = _body(first, request_iterator)
            return asset_to(await self._ingest.store(who.tenant_id, who.subject, declared_from(first, who), body))

    async def GetAsset(self, request: pb.GetAssetRequest, context: grpc.aio.ServicerContext) -> asset_pb2.Asset:
        """Reads the metadata."""
        asset = await self._assets.get(caller().tenant_id, request.asset_id)
        self._reads.note("asset_metadata", asset.asset_id)
        return asset_to(asset)

    async def DownloadAsset(
        self, request: pb.DownloadAssetRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[HttpBody]:
        """Reads the bytes."""
        asset, pieces = await self._assets.open(
            caller().tenant_id, request.asset_id, request.read_offset, request.read_limit
        )
        self._reads.note("asset", asset.asset_id)
        await context.send_initial_metadata(_headers(asset))
        content_type = _content_type(asset)
        async for piece in pieces:
            yield HttpBody(content_type=content_type, data=piece)

    async def ListAssets(
        self, request: pb.ListAssetsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListAssetsResponse:
        """Lists assets."""
        size = page_size(request)
        wanted = Listing(
            request.asset_type,
            request.job_id,
            request.include_tombstoned,
            size + 1,
            page_token_id(request.page_token),
            request.only_held,
        )
        found = await self._assets.list(caller().tenant_id, wanted)
        self._reads.note("asset_list", request.job_id or "*")
        token = found[size - 1].asset_id if len(found) > size else ""
        return pb.ListAssetsResponse(assets=map(asset_to, found[:size]), next_page_token=token)

    async def DeleteAsset(self, request: pb.DeleteAssetRequest, context: grpc.aio.ServicerContext) -> asset_pb2.Asset:
        """Gives up the caller's hold, or a job's."""
        who = caller()
        release = Release(who.subject, request.job_id, by_service=is_service(who))
        return asset_to(await self._assets.delete(who.tenant_id, request.asset_id, release, request.reason))

    async def EraseAsset(self, request: pb.EraseAssetRequest, context: grpc.aio.ServicerContext) -> asset_pb2.Asset:
        """Ends every hold and erases the bytes."""
        return asset_to(await self._assets.erase(caller().tenant_id, request.asset_id, request.reason))


async def _body(first: pb.UploadAssetRequest, rest: AsyncIterator[pb.UploadAssetRequest]) -> AsyncIterator[bytes]:
    yield first.content.data
    async for message in rest:
        yield message.content.data


def _content_type(asset: Asset) -> str:
    textual = asset.media_type.startswith("text/")
    return f"{asset.media_type}; charset=utf-8" if textual else asset.media_type


def _headers(asset: Asset) -> tuple[tuple[str, str], ...]:
    """Caching by content, no guessing of types, and active content as a download (RFC 6266, RFC 5987)."""
    kind = "attachment" if is_active(asset.media_type) else "inline"
    plain = asset.filename.encode("ascii", "replace").decode().replace("?", "_").replace('"', "_")
    request = current()
    trace = (("x-trace-id", request.trace_id),) if request and request.trace_id else ()
    return (
        ("etag", f'"{asset.checksum}"'),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("content-disposition", f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(asset.filename)}"),
        *trace,
    )
