"""The ports of the asset store in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError
from svc_assets.domain.limits import Permissions
from svc_assets.domain.model import LEGACY_HOLDER, SUBJECT_PREFIX, EarlierUpload, Status, StoredBlob
from svc_assets.domain.rules import answer_repeated_upload, strictest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from mesh.clock import Clock
    from svc_assets.domain.model import Asset, Hold, ListQuery, ReleaseRequest

CHUNK_BYTES = 256 * 1024
FIRST = datetime.min.replace(tzinfo=UTC)


@dataclass
class _Row:
    asset: Asset
    holders: dict[str, str]
    content: bytes | None = None
    sweep_after: datetime = FIRST
    bytes_erased: bool = False


class MemoryAssetStore:
    """`AssetStore` without events and audit."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._requests: dict[tuple[str, str], tuple[str, str, str]] = {}

    async def add_pending(self, asset: Asset, sweep_after: datetime) -> None:
        self._rows[asset.asset_id] = _Row(asset, {}, sweep_after=sweep_after)

    async def hold_existing(self, draft: Asset, hold: Hold, request_id: str) -> Asset | None:
        for row in self._rows.values():
            asset = row.asset
            if (asset.tenant_id, asset.checksum, asset.status) == (draft.tenant_id, draft.checksum, Status.READY):
                return self._with_hold(row, draft, hold, request_id)
        return None

    async def add_ready(self, draft: Asset, hold: Hold, request_id: str, content: bytes) -> Asset:
        existing = await self.hold_existing(draft, hold, request_id)
        if existing is not None:
            return existing
        row = _Row(replace(draft, status=Status.READY), {}, content)
        answer = self._with_hold(row, draft, hold, request_id)
        self._rows[draft.asset_id] = row
        return answer

    async def commit(self, draft: Asset, hold: Hold, request_id: str, now: datetime) -> Asset:
        existing = await self.hold_existing(draft, hold, request_id)
        if existing is not None:
            await self.discard(draft, now)
            return existing
        row = self._rows.get(draft.asset_id)
        if row is None or row.asset.status is not Status.PENDING:
            raise SomaError(Reason.CONFLICT, "the upload took too long; send it again")
        answer = self._with_hold(row, draft, hold, request_id)
        row.asset = replace(row.asset, status=Status.READY)
        return replace(answer, status=Status.READY)

    def _with_hold(self, row: _Row, draft: Asset, hold: Hold, request_id: str) -> Asset:
        if request_id:
            earlier = self._earlier(draft.tenant_id, request_id)
            if earlier is not None:
                answer_repeated_upload(earlier, draft.checksum, hold)
            else:
                self._requests[draft.tenant_id, request_id] = (row.asset.asset_id, draft.checksum, hold.holder)
        row.holders.setdefault(hold.holder, hold.subject)
        row.asset = replace(row.asset, classification=strictest(row.asset.classification, draft.classification))
        return replace(_counted(row), deduplicated=row.asset.asset_id != draft.asset_id)

    async def discard(self, draft: Asset, now: datetime) -> None:
        row = self._rows.get(draft.asset_id)
        if row is not None and row.asset.status is Status.PENDING:
            row.asset, row.sweep_after = replace(row.asset, status=Status.ERASING), now

    async def record_rejection(self, tenant_id: str, checksum: str, reason: str) -> None:
        """Does nothing: there is no audit."""

    async def get(self, tenant_id: str, asset_id: str) -> Asset | None:
        row = self._row(tenant_id, asset_id)
        return _counted(row) if row else None

    def _row(self, tenant_id: str, asset_id: str) -> _Row | None:
        row = self._rows.get(asset_id)
        shown = row is not None and row.asset.status in {Status.READY, Status.TOMBSTONED}
        return row if row is not None and shown and row.asset.tenant_id == tenant_id else None

    async def get_content(self, tenant_id: str, asset_id: str, offset: int, length: int) -> bytes | None:
        row = self._row(tenant_id, asset_id)
        return row.content[offset : offset + length] if row is not None and row.content is not None else None

    async def get_by_request(self, tenant_id: str, request_id: str) -> EarlierUpload | None:
        return self._earlier(tenant_id, request_id)

    def _earlier(self, tenant_id: str, request_id: str) -> EarlierUpload | None:
        asset_id, checksum, holder = self._requests.get((tenant_id, request_id), ("", "", ""))
        row = self._row(tenant_id, asset_id)
        return EarlierUpload(_counted(row), checksum, holder, holder in row.holders) if row else None

    async def list(self, tenant_id: str, query: ListQuery) -> Sequence[Asset]:
        shown = {Status.READY, Status.TOMBSTONED} if query.include_tombstoned else {Status.READY}
        found = [
            _counted(row)
            for row in self._rows.values()
            if row.asset.tenant_id == tenant_id
            and row.asset.status in shown
            and query.asset_type in ("", row.asset.asset_type)
            and _is_of_job(row, query)
            and (not query.before_id or row.asset.asset_id < query.before_id)
        ]
        return sorted(found, key=lambda asset: asset.asset_id, reverse=True)[: query.limit]

    async def release(
        self, tenant_id: str, asset_id: str, release: ReleaseRequest, reason: str, now: datetime
    ) -> Asset | None:
        row = self._row(tenant_id, asset_id)
        if row is None:
            return None
        if release.job_id:
            if row.holders.get(release.job_id, release.subject) not in ("", release.subject) and not release.by_service:
                raise SomaError(Reason.PERMISSION_DENIED, "another subject's job holds this asset")
            released = {release.job_id}
        else:
            released = {SUBJECT_PREFIX + release.subject} | (
                {LEGACY_HOLDER} if row.asset.created_by == release.subject else set()
            )
        row.holders = {name: subject for name, subject in row.holders.items() if name not in released}
        return self._tombstoned(row, now)

    async def erase(self, tenant_id: str, asset_id: str, reason: str, now: datetime) -> Asset | None:
        row = self._row(tenant_id, asset_id)
        if row is None:
            return None
        row.holders = {}
        return self._tombstoned(row, now)

    @staticmethod
    def _tombstoned(row: _Row, now: datetime) -> Asset:
        if not row.holders and row.asset.status is Status.READY:
            row.asset = replace(row.asset, status=Status.TOMBSTONED, deleted_at=now, metadata={})
            row.content, row.sweep_after, row.bytes_erased = None, now, row.asset.is_inline
        return _counted(row)

    async def claim_for_deletion(self, now: datetime, next_claim_at: datetime, limit: int) -> Sequence[Asset]:
        due = [
            row
            for row in self._rows.values()
            if row.asset.status is not Status.READY and not row.bytes_erased and row.sweep_after <= now
        ]
        for row in due[:limit]:
            row.sweep_after = next_claim_at
            if row.asset.status is Status.PENDING:
                row.asset = replace(row.asset, status=Status.ERASING)
        return [row.asset for row in due[:limit]]

    async def confirm_deletion(self, asset: Asset) -> None:
        row = self._rows.get(asset.asset_id)
        if row is not None and row.asset.status is Status.ERASING:
            del self._rows[asset.asset_id]
        elif row is not None and row.asset.status is Status.TOMBSTONED:
            row.bytes_erased = True

    async def claim_tombstone_with_holders(self, now: datetime, next_claim_at: datetime) -> Asset | None:
        """None: an erasure leaves no holders."""
        return None

    async def remove_holders(self, asset: Asset, now: datetime) -> None:
        """Removes nothing: there are none left."""

    async def filter_unreferenced(self, asset_ids: Sequence[str]) -> Sequence[str]:
        assets = (row.asset for row in self._rows.values())
        stored = {one.asset_id for one in assets if one.status is not Status.TOMBSTONED and not one.is_inline}
        return [asset_id for asset_id in asset_ids if asset_id not in stored]


def _is_of_job(row: _Row, query: ListQuery) -> bool:
    made_by = () if query.only_held else (row.asset.origin.job_id,)
    return not query.job_id or query.job_id in row.holders or query.job_id in made_by


def _counted(row: _Row) -> Asset:
    return replace(row.asset, reference_count=len(row.holders))


class MemorySweepState:
    """`SweepState` in memory."""

    def __init__(self) -> None:
        self.cursor, self.leased_until, self.finished_at = "", FIRST, FIRST

    async def store_id(self) -> str:
        return "memory"

    async def acquire(self, now: datetime, finished_before: datetime, leased_until: datetime) -> str | None:
        if self.leased_until > now or self.finished_at > finished_before:
            return None
        self.leased_until = leased_until
        return self.cursor

    async def advance(self, cursor: str, leased_until: datetime) -> None:
        self.cursor, self.leased_until = cursor, leased_until

    async def finish(self, now: datetime) -> None:
        self.cursor, self.leased_until, self.finished_at = "", FIRST, now


class MemoryReadAudit:
    """The reads that were recorded."""

    def __init__(self) -> None:
        self.recorded: list[tuple[str, str]] = []

    def record(self, resource_type: str, resource_id: str) -> None:
        self.recorded.append((resource_type, resource_id))


class MemoryPermissions:
    """The same permissions for every caller."""

    def __init__(self, permissions: Permissions | None = None) -> None:
        self.permissions = permissions or Permissions()

    async def get_for_caller(self) -> Permissions:
        return self.permissions


class MemoryBlobStore:
    """`BlobStore` in memory."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._blobs: dict[str, bytes] = {}
        self._clock = clock
        self._modified: dict[str, datetime] = {}
        self._store_id = ""

    async def put(self, path: str, body: AsyncIterator[bytes]) -> None:
        self._blobs[path] = b"".join([chunk async for chunk in body])
        self._modified[path] = self._clock.now() if self._clock else FIRST

    async def get(self, path: str, offset: int, length: int | None) -> AsyncIterator[bytes]:
        if path not in self._blobs:
            raise SomaError(Reason.DATA_LOSS, "the stored bytes are gone")
        end = None if length is None else offset + length
        body = self._blobs[path][offset:end]
        for start in range(0, len(body), CHUNK_BYTES):
            yield body[start : start + CHUNK_BYTES]

    async def delete(self, path: str) -> None:
        self._blobs.pop(path, None)

    async def claim_store(self, store_id: str) -> bool:
        self._store_id = self._store_id or store_id
        return self._store_id == store_id

    async def pages(self, after: str, size: int) -> AsyncIterator[Sequence[StoredBlob]]:
        paths = sorted(path for path in self._blobs if path > after)
        for start in range(0, len(paths), size):
            yield [StoredBlob(path, self._modified[path]) for path in paths[start : start + size]]

    async def remove_unfinished(self, before: datetime, size: int) -> AsyncIterator[int]:
        """Removes nothing: a put that is killed leaves nothing."""
        yield 0

    def paths(self) -> set[str]:
        """The paths of all blobs."""
        return set(self._blobs)
