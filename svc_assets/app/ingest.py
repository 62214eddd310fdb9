"""One streaming pass: limit, hash, sniff, inspect, deduplicate; metadata first, bytes second, commit last."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError, invalid
from mesh.logging import get_logger
from svc_assets.domain.limits import SizeLimit, SizeLimits, kind_of
from svc_assets.domain.model import Asset, Status, UploadMetadata
from svc_assets.domain.rules import (
    OPAQUE,
    base_type,
    check_declared,
    clean_name,
    dropped,
    repeated,
    resolve_media_type,
    strictest,
    type_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.clock import Clock
    from mesh.ids import Ids
    from svc_assets.app.ports import Bytes, Inspector, PermissionSource, Rows, Spool, Spooler
    from svc_assets.domain.limits import Permissions
    from svc_assets.domain.model import DetectedType, Hold, InspectionResult

_log = get_logger(__name__)


@dataclass(frozen=True)
class IngestLimits:
    """Limits of uploads. Bodies of at most `inline_bytes` are stored in their row.

    `grace_s` is the age at which a row that did not become READY counts as left behind; longer than any upload takes.
    """

    sizes: SizeLimits
    inline_bytes: int
    grace_s: float


class Ingest:
    """Stores bodies. A refused one stores nothing; a crash in the middle leaves a row that a sweep finds."""

    def __init__(
        self,
        *,
        rows: Rows,
        blobs: Bytes,
        spooler: Spooler,
        inspector: Inspector,
        permissions: PermissionSource,
        clock: Clock,
        ids: Ids,
        limits: IngestLimits,
    ) -> None:
        self._rows = rows
        self._blobs = blobs
        self._spooler = spooler
        self._inspector = inspector
        self._permissions = permissions
        self._clock = clock
        self._ids = ids
        self._limits = limits

    async def store(self, tenant_id: str, subject: str, declared: UploadMetadata, body: AsyncIterator[bytes]) -> Asset:
        """Stores a body, or answers with the asset that already has its bytes.

        PAYLOAD_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, CONTENT_REJECTED, INVALID_ARGUMENT for an empty body or a parent that
        cannot be read, IDEMPOTENCY_MISMATCH for a request id used with other bytes, FAILED_PRECONDITION for one whose
        asset was erased or given up since.
        """
        hold = declared.hold(subject)
        check_declared(declared)
        permissions = await self._permissions.of_caller()
        limit = self._limit(declared, permissions)
        limit.check(declared.size_bytes)
        await self._related(tenant_id, "parent_id", declared.parent_id)
        await self._related(tenant_id, "replaces_id", declared.replaces_id)
        async with self._spooler.take(body, limit) as spool:
            if spool.size == 0:
                raise invalid("content", "must not be empty")
            earlier = await self._rows.by_request(tenant_id, declared.request_id) if declared.request_id else None
            if earlier is not None:
                return repeated(earlier, spool.checksum, hold)
            examined = await self._inspector.examine(tenant_id, spool)
            agreed = replace(examined.kind, media_type=resolve_media_type(declared.media_type, examined.kind))
            if examined.why:
                raise await self._rejected(tenant_id, spool, examined)
            self._limits.sizes.of(kind_of(agreed.media_type), permissions.max_bytes).check(spool.size)
            draft = self._draft(tenant_id, subject, declared, spool, agreed)
            draft = replace(draft, classification=strictest(draft.classification, permissions.classification_floor))
            stored = await self._write(draft, hold, declared.request_id, spool)
            return replace(stored, dropped_fields=dropped(draft, stored, declared) if stored.deduplicated else ())

    def _limit(self, declared: UploadMetadata, permissions: Permissions) -> SizeLimit:
        """The limit while the body comes: that of the declared type, which must match the bytes."""
        media_type = base_type(declared.media_type)
        if media_type in OPAQUE:
            return self._limits.sizes.largest(permissions.max_bytes)
        return self._limits.sizes.of(kind_of(media_type), permissions.max_bytes)

    async def _rejected(self, tenant_id: str, spool: Spool, examined: InspectionResult) -> SomaError:
        text = f"the body was refused: {examined.why}"
        await self._rows.refused(tenant_id, spool.checksum, text)
        return SomaError(Reason.CONTENT_REJECTED, text, metadata={"check": examined.check})

    async def _related(self, tenant_id: str, field: str, asset_id: str) -> None:
        if not asset_id:
            return
        found = await self._rows.get(tenant_id, asset_id)
        if found is None or found.status is not Status.READY:
            raise invalid(field, f"asset {asset_id!r} does not exist or cannot be read")

    def _draft(self, tenant_id: str, subject: str, declared: UploadMetadata, spool: Spool, kind: DetectedType) -> Asset:
        asset_id = self._ids.new()
        return Asset(
            asset_id=asset_id,
            tenant_id=tenant_id,
            asset_type=type_of(declared.asset_type, kind.media_type),
            format=kind.format,
            media_type=kind.media_type,
            filename=clean_name(declared.filename, f"{asset_id}.{kind.format}"),
            size_bytes=spool.size,
            checksum=spool.checksum,
            classification=declared.classification or "internal",
            status=Status.PENDING,
            storage_path="" if spool.size <= self._limits.inline_bytes else path_of(tenant_id, asset_id),
            created_by=subject,
            created_at=self._clock.now(),
            metadata=declared.metadata,
            parent_id=declared.parent_id,
            replaces_id=declared.replaces_id,
            origin=declared.origin,
        )

    async def _write(self, draft: Asset, hold: Hold, request_id: str, spool: Spool) -> Asset:
        if draft.is_inline:
            content = b"".join([piece async for piece in spool.read()])
            return await self._rows.create(draft, hold, request_id, content)
        known = await self._rows.join(draft, hold, request_id)
        if known is not None:
            return known
        await self._rows.begin(draft, draft.created_at + timedelta(seconds=self._limits.grace_s))
        # When this fails or is cancelled the store may have the bytes nevertheless: the row stays until the sweep has
        # deleted them.
        await self._blobs.put(draft.storage_path, spool.read())
        try:
            stored = await self._rows.commit(draft, hold, request_id, self._clock.now())
        except SomaError as error:
            if error.reason in {Reason.IDEMPOTENCY_MISMATCH, Reason.FAILED_PRECONDITION}:
                await self._delete(draft, discard=True)
            raise
        if stored.asset_id != draft.asset_id:
            await self._delete(draft, discard=False)
        return stored

    async def _delete(self, draft: Asset, *, discard: bool) -> None:
        """Deletes the bytes of an upload that lost. Its row stays when that fails, and the sweep does it later."""
        try:
            if discard:
                await self._rows.discard(draft, self._clock.now())
            await self._blobs.delete(draft.storage_path)
            await self._rows.bytes_deleted(replace(draft, status=Status.ERASING))
        except SomaError as error:
            _log.warning("bytes are left to the sweep", asset_id=draft.asset_id, reason=error.reason.value)


def path_of(tenant_id: str, asset_id: str) -> str:
    """Where the blob store has the bytes of an asset."""
    return f"{tenant_id}/{asset_id[-2:]}/{asset_id}"
