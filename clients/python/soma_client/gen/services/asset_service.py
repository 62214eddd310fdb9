"""Bytes, stored once."""

# Generated from protos/soma/assets/v1/asset_service.proto by tools/python_methods.py. DO NOT EDIT!

from __future__ import annotations

from soma_client.calls import Caller
from soma_client.gen.soma.assets import v1 as assets_v1
from soma_client.paging import Pages


class AssetServiceMethods:
    """Bytes, stored once."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def get(self, asset_id: str, *, timeout: float | None = None) -> assets_v1.Asset:
        """Reads the metadata.

        Args:
            asset_id: Id of the asset. Required.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = assets_v1.GetAssetRequest(asset_id=asset_id)
        return await self._caller.unary("/soma.assets.v1.AssetService/GetAsset", request, assets_v1.Asset, timeout)

    def list(
        self,
        *,
        asset_type: str = "",
        job_id: str = "",
        include_tombstoned: bool = False,
        page_size: int = 0,
        page_token: str = "",
        only_held: bool = False,
        timeout: float | None = None,
    ) -> Pages[assets_v1.ListAssetsResponse, assets_v1.Asset]:
        """Lists assets, newest first.

        Args:
            asset_type: Only of this type.
            job_id: Only of this job: those that it stored, and those that it holds.
            include_tombstoned: Also tombstones.
            page_size: Most entries a page, 1 to 500; 0 means 50.
            page_token: next_page_token of the page before; the filters must be the same.
            only_held: With job_id: only what the job still holds, not what it stored and gave up, which
                may be erased at any time. Without a job_id it changes nothing.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """

        def request(token: str) -> assets_v1.ListAssetsRequest:
            return assets_v1.ListAssetsRequest(
                asset_type=asset_type,
                job_id=job_id,
                include_tombstoned=include_tombstoned,
                page_size=page_size,
                page_token=token,
                only_held=only_held,
            )

        return Pages(
            self._caller,
            "/soma.assets.v1.AssetService/ListAssets",
            request,
            assets_v1.ListAssetsResponse,
            lambda page: page.assets,
            page_token=page_token,
            timeout=timeout,
        )

    async def delete(
        self, asset_id: str, *, reason: str = "", job_id: str = "", timeout: float | None = None
    ) -> assets_v1.Asset:
        """Gives up the caller's own hold, or with a job_id that of a job. The bytes are erased, and a
        tombstone is left, when nothing else holds them; else the answer is READY and tells by
        reference_count how many holds are left. Idempotent. PERMISSION_DENIED for the hold of a job that
        another subject started.

        Args:
            asset_id: Id of the asset. Required.
            reason: Why, for the record; at most 500 characters.
            job_id: Give up what this job holds. Empty: what the caller holds by an upload of its own.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = assets_v1.DeleteAssetRequest(asset_id=asset_id, reason=reason, job_id=job_id)
        return await self._caller.unary("/soma.assets.v1.AssetService/DeleteAsset", request, assets_v1.Asset, timeout)

    async def erase(
        self, asset_id: str, *, reason: str = "", request_id: str = "", timeout: float | None = None
    ) -> assets_v1.Asset:
        """Erases the bytes for everybody, whoever holds them, and leaves a tombstone. Idempotent.

        Args:
            asset_id: Id of the asset. Required.
            reason: Why, for the record; at most 500 characters.
            request_id: Names the call in logs and retries; erasing twice changes nothing. At most 128
                characters.
            timeout: Seconds for all attempts together; absent: the deadline of the contract.
        """
        request = assets_v1.EraseAssetRequest(
            asset_id=asset_id, reason=reason, request_id=request_id or self._caller.new_id()
        )
        return await self._caller.unary("/soma.assets.v1.AssetService/EraseAsset", request, assets_v1.Asset, timeout)
