"""One streaming pass: limit, hash, sniff, inspect, deduplicate; metadata first, bytes second, commit last."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from mesh.errors import Reason, SomaError, invalid
from svc_assets.domain.model import Asset, Declared, Status
from svc_assets.domain.rules import agree, check_declared, clean_name, type_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.clock import Clock
    from mesh.ids import Ids
    from svc_assets.domain.model import Sniffed
    from svc_assets.domain.ports import Bytes, Inspector, Rows, Spool, Spooler


class Ingesting(Protocol):
    """The use case, as it is served and wrapped."""

    async def store(self, tenant_id: str, subject: str, declared: Declared, body: AsyncIterator[bytes]) -> Asset:
        """Stores a body."""


class Ingest:
    """Stores bodies. A refused one stores nothing; a crash in the middle leaves a row that reconciliation finds."""

    def __init__(
        self,
        *,
        rows: Rows,
        blobs: Bytes,
        spooler: Spooler,
        inspector: Inspector,
        clock: Clock,
        ids: Ids,
        max_bytes: int,
    ) -> None:
        self._rows = rows
        self._blobs = blobs
        self._spooler = spooler
        self._inspector = inspector
        self._clock = clock
        self._ids = ids
        self._max_bytes = max_bytes

    async def store(self, tenant_id: str, subject: str, declared: Declared, body: AsyncIterator[bytes]) -> Asset:
        """Stores a body, or answers with the asset that already has its bytes.

        PAYLOAD_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, CONTENT_REJECTED, INVALID_ARGUMENT for an empty body or a parent that
        cannot be read, IDEMPOTENCY_MISMATCH for a request id used with other bytes.
        """
        check_declared(declared, self._max_bytes)
        await self._related(tenant_id, "parent_id", declared.parent_id)
        await self._related(tenant_id, "replaces_id", declared.replaces_id)
        async with self._spooler.take(body, self._max_bytes) as spool:
            if spool.size == 0:
                raise invalid("content", "must not be empty")
            repeated = await self._repeated(tenant_id, declared.request_id, spool.checksum)
            if repeated is not None:
                return repeated
            sniffed = await self._inspector.sniff(spool)
            agreed = replace(sniffed, media_type=agree(declared.media_type, sniffed))
            await self._inspect(tenant_id, spool, sniffed)
            draft = self._draft(tenant_id, subject, declared, spool, agreed)
            return await self._write(draft, declared, spool)

    async def _inspect(self, tenant_id: str, spool: Spool, sniffed: Sniffed) -> None:
        try:
            await self._inspector.inspect(spool, sniffed)
        except SomaError as error:
            if error.reason is Reason.CONTENT_REJECTED:
                await self._rows.refused(tenant_id, spool.checksum, error.message)
            raise

    async def _related(self, tenant_id: str, field: str, asset_id: str) -> None:
        if not asset_id:
            return
        found = await self._rows.get(tenant_id, asset_id)
        if found is None or found.status is not Status.READY:
            raise invalid(field, f"asset {asset_id!r} does not exist or cannot be read")

    async def _repeated(self, tenant_id: str, request_id: str, checksum: str) -> Asset | None:
        if not request_id:
            return None
        earlier = await self._rows.by_request(tenant_id, request_id)
        if earlier is not None and earlier.checksum != checksum:
            raise SomaError(Reason.IDEMPOTENCY_MISMATCH, "this request_id was used with another body; take a new one")
        return earlier

    def _draft(self, tenant_id: str, subject: str, declared: Declared, spool: Spool, kind: Sniffed) -> Asset:
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
            storage_path=f"{tenant_id}/{asset_id[-2:]}/{asset_id}",
            created_by=subject,
            created_at=self._clock.now(),
            metadata=declared.metadata,
            parent_id=declared.parent_id,
            replaces_id=declared.replaces_id,
            origin=declared.origin,
        )

    async def _write(self, draft: Asset, declared: Declared, spool: Spool) -> Asset:
        known = await self._rows.by_checksum(draft.tenant_id, draft.checksum)
        if known is None:
            await self._rows.begin(draft)
            try:
                await self._blobs.put(draft.storage_path, spool.read())
            except BaseException:
                await self._rows.abandon(draft.asset_id, draft.tenant_id)
                raise
        stored = await self._rows.commit(draft, declared.holder, declared.request_id)
        if known is None and stored.asset_id != draft.asset_id:
            await self._blobs.delete(draft.storage_path)
        return stored
