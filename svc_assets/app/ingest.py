"""Uploads: receive, inspect and deduplicate a body; write a PENDING row, then the bytes, then commit the row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError, invalid
from mesh.logging import get_logger
from svc_assets.domain.limits import SizeLimit, SizeLimits, media_kind
from svc_assets.domain.model import Asset, Status, UploadMetadata
from svc_assets.domain.rules import (
    GENERIC_MEDIA_TYPES,
    answer_repeated_upload,
    check_upload_metadata,
    clean_filename,
    find_dropped_fields,
    normalize_media_type,
    resolve_asset_type,
    resolve_media_type,
    strictest,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.clock import Clock
    from mesh.ids import Ids
    from svc_assets.app.ports import AssetStore, BlobStore, Inspector, PermissionSource, Spool, Spooler
    from svc_assets.domain.limits import Permissions
    from svc_assets.domain.model import DetectedType, Hold, InspectionResult

_log = get_logger(__name__)


@dataclass(frozen=True)
class IngestLimits:
    """Limits of uploads. Bodies of at most `inline_bytes` are stored in their row.

    `grace_s`: age in seconds at which a sweep may claim a row that is still PENDING; longer than any upload takes.
    """

    sizes: SizeLimits
    inline_bytes: int
    grace_s: float


class Ingest:
    """Stores bodies. A rejected body stores nothing; a crash leaves a PENDING row, which a sweep removes."""

    def __init__(
        self,
        *,
        store: AssetStore,
        blobs: BlobStore,
        spooler: Spooler,
        inspector: Inspector,
        permissions: PermissionSource,
        clock: Clock,
        ids: Ids,
        limits: IngestLimits,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._spooler = spooler
        self._inspector = inspector
        self._permissions = permissions
        self._clock = clock
        self._ids = ids
        self._limits = limits

    async def store(self, tenant_id: str, subject: str, upload: UploadMetadata, body: AsyncIterator[bytes]) -> Asset:
        """Stores a body, or returns the asset of this tenant that already has these bytes.

        PAYLOAD_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, CONTENT_REJECTED, INVALID_ARGUMENT for an empty body or a parent that
        cannot be read, IDEMPOTENCY_MISMATCH for a request id used with other bytes, FAILED_PRECONDITION for one whose
        asset was erased, or its hold released, since then.
        """
        hold = upload.hold(subject)
        check_upload_metadata(upload)
        permissions = await self._permissions.get_for_caller()
        limit = self._limit_of(upload, permissions)
        limit.check(upload.size_bytes)
        await self._check_related(tenant_id, "parent_id", upload.parent_id)
        await self._check_related(tenant_id, "replaces_id", upload.replaces_id)
        async with self._spooler.receive(body, limit) as spool:
            if spool.size == 0:
                raise invalid("content", "must not be empty")
            earlier = await self._store.get_by_request(tenant_id, upload.request_id) if upload.request_id else None
            if earlier is not None:
                return answer_repeated_upload(earlier, spool.checksum, hold)
            inspection = await self._inspector.inspect(tenant_id, spool)
            detected = inspection.detected_type
            detected = replace(detected, media_type=resolve_media_type(upload.media_type, detected))
            if inspection.reason:
                raise await self._rejected(tenant_id, spool, inspection)
            self._limits.sizes.get(media_kind(detected.media_type), permissions.max_bytes).check(spool.size)
            draft = self._draft(tenant_id, subject, upload, spool, detected)
            draft = replace(draft, classification=strictest(draft.classification, permissions.classification_floor))
            stored = await self._write(draft, hold, upload.request_id, spool)
            dropped_fields = find_dropped_fields(draft, stored, upload) if stored.deduplicated else ()
            return replace(stored, dropped_fields=dropped_fields)

    def _limit_of(self, upload: UploadMetadata, permissions: Permissions) -> SizeLimit:
        """Returns the limit while the body is received: that of the declared type, which must match the bytes."""
        media_type = normalize_media_type(upload.media_type)
        if media_type in GENERIC_MEDIA_TYPES:
            return self._limits.sizes.largest(permissions.max_bytes)
        return self._limits.sizes.get(media_kind(media_type), permissions.max_bytes)

    async def _rejected(self, tenant_id: str, spool: Spool, inspection: InspectionResult) -> SomaError:
        text = f"the body was refused: {inspection.reason}"
        await self._store.record_rejection(tenant_id, spool.checksum, text)
        return SomaError(Reason.CONTENT_REJECTED, text, metadata={"check": inspection.check})

    async def _check_related(self, tenant_id: str, field: str, asset_id: str) -> None:
        if not asset_id:
            return
        found = await self._store.get(tenant_id, asset_id)
        if found is None or found.status is not Status.READY:
            raise invalid(field, f"asset {asset_id!r} does not exist or cannot be read")

    def _draft(
        self, tenant_id: str, subject: str, upload: UploadMetadata, spool: Spool, detected: DetectedType
    ) -> Asset:
        asset_id = self._ids.new()
        return Asset(
            asset_id=asset_id,
            tenant_id=tenant_id,
            asset_type=resolve_asset_type(upload.asset_type, detected.media_type),
            format=detected.format,
            media_type=detected.media_type,
            filename=clean_filename(upload.filename, f"{asset_id}.{detected.format}"),
            size_bytes=spool.size,
            checksum=spool.checksum,
            classification=upload.classification or "internal",
            status=Status.PENDING,
            storage_path="" if spool.size <= self._limits.inline_bytes else blob_path(tenant_id, asset_id),
            created_by=subject,
            created_at=self._clock.now(),
            metadata=upload.metadata,
            parent_id=upload.parent_id,
            replaces_id=upload.replaces_id,
            origin=upload.origin,
        )

    async def _write(self, draft: Asset, hold: Hold, request_id: str, spool: Spool) -> Asset:
        if draft.is_inline:
            content = b"".join([chunk async for chunk in spool.read()])
            return await self._store.add_ready(draft, hold, request_id, content)
        existing = await self._store.hold_existing(draft, hold, request_id)
        if existing is not None:
            return existing
        await self._store.add_pending(draft, draft.created_at + timedelta(seconds=self._limits.grace_s))
        # When this fails or is cancelled the blob store may have the bytes nevertheless: the row stays until the sweep
        # has deleted them.
        await self._blobs.put(draft.storage_path, spool.read())
        try:
            stored = await self._store.commit(draft, hold, request_id, self._clock.now())
        except SomaError as error:
            if error.reason in {Reason.IDEMPOTENCY_MISMATCH, Reason.FAILED_PRECONDITION}:
                await self._delete_blob(draft, discard=True)
            raise
        if stored.asset_id != draft.asset_id:
            await self._delete_blob(draft, discard=False)
        return stored

    async def _delete_blob(self, draft: Asset, *, discard: bool) -> None:
        """Deletes the bytes of an upload that is not used; when that fails the row stays for the sweep."""
        try:
            if discard:
                await self._store.discard(draft, self._clock.now())
            await self._blobs.delete(draft.storage_path)
            await self._store.confirm_deletion(replace(draft, status=Status.ERASING))
        except SomaError as error:
            _log.warning("bytes are left to the sweep", asset_id=draft.asset_id, reason=error.reason.value)


def blob_path(tenant_id: str, asset_id: str) -> str:
    """Returns the path of an asset in the blob store."""
    return f"{tenant_id}/{asset_id[-2:]}/{asset_id}"
