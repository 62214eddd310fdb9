"""Rows and bytes in the memory of one process."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError
from svc_assets.domain.limits import Permissions
from svc_assets.domain.model import DIRECT, SUBJECT_MARK, EarlierUpload, Status, StoredBlob
from svc_assets.domain.rules import repeated, strictest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from mesh.clock import Clock
    from svc_assets.domain.model import Asset, Hold, Listing, Release

PIECE = 256 * 1024
FIRST = datetime.min.replace(tzinfo=UTC)


@dataclass
class _Row:
    asset: Asset
    holders: dict[str, str]
    content: bytes | None = None
    sweep_after: datetime = FIRST
    bytes_erased: bool = False


class MemoryRows:
    """Rows; nothing outlives the process, and events are not published."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._requests: dict[tuple[str, str], tuple[str, str, str]] = {}

    async def begin(self, asset: Asset, sweep_after: datetime) -> None:
        """Writes a PENDING row."""
        self._rows[asset.asset_id] = _Row(asset, {}, sweep_after=sweep_after)

    async def join(self, draft: Asset, hold: Hold, request_id: str) -> Asset | None:
        """Adds a hold to the READY asset that has the bytes."""
        for row in self._rows.values():
            asset = row.asset
            if (asset.tenant_id, asset.checksum, asset.status) == (draft.tenant_id, draft.checksum, Status.READY):
                return self._with_hold(row, draft, hold, request_id)
        return None

    async def create(self, draft: Asset, hold: Hold, request_id: str, content: bytes) -> Asset:
        """Writes a READY row with its bytes, or joins one that has them."""
        joined = await self.join(draft, hold, request_id)
        if joined is not None:
            return joined
        row = _Row(replace(draft, status=Status.READY), {}, content)
        answer = self._with_hold(row, draft, hold, request_id)
        self._rows[draft.asset_id] = row
        return answer

    async def commit(self, draft: Asset, hold: Hold, request_id: str, now: datetime) -> Asset:
        """Makes the row READY, or gives its hold to the asset that has the bytes."""
        joined = await self.join(draft, hold, request_id)
        if joined is not None:
            await self.discard(draft, now)
            return joined
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
                repeated(earlier, draft.checksum, hold)
            else:
                self._requests[draft.tenant_id, request_id] = (row.asset.asset_id, draft.checksum, hold.holder)
        row.holders.setdefault(hold.holder, hold.subject)
        row.asset = replace(row.asset, classification=strictest(row.asset.classification, draft.classification))
        return replace(_counted(row), deduplicated=row.asset.asset_id != draft.asset_id)

    async def discard(self, draft: Asset, now: datetime) -> None:
        """Makes a PENDING row ERASING."""
        row = self._rows.get(draft.asset_id)
        if row is not None and row.asset.status is Status.PENDING:
            row.asset, row.sweep_after = replace(row.asset, status=Status.ERASING), now

    async def refused(self, tenant_id: str, checksum: str, why: str) -> None:
        """Notes nothing: there is no record to tell."""

    async def get(self, tenant_id: str, asset_id: str) -> Asset | None:
        """One asset that is READY or TOMBSTONED."""
        row = self._row(tenant_id, asset_id)
        return _counted(row) if row else None

    def _row(self, tenant_id: str, asset_id: str) -> _Row | None:
        row = self._rows.get(asset_id)
        shown = row is not None and row.asset.status in {Status.READY, Status.TOMBSTONED}
        return row if row is not None and shown and row.asset.tenant_id == tenant_id else None

    async def content(self, tenant_id: str, asset_id: str, offset: int, length: int) -> bytes | None:
        """Bytes of a small asset that is READY."""
        row = self._row(tenant_id, asset_id)
        return row.content[offset : offset + length] if row is not None and row.content is not None else None

    async def by_request(self, tenant_id: str, request_id: str) -> EarlierUpload | None:
        """What an upload with this request id stored."""
        return self._earlier(tenant_id, request_id)

    def _earlier(self, tenant_id: str, request_id: str) -> EarlierUpload | None:
        asset_id, checksum, holder = self._requests.get((tenant_id, request_id), ("", "", ""))
        row = self._row(tenant_id, asset_id)
        return EarlierUpload(_counted(row), checksum, holder, holder in row.holders) if row else None

    async def list(self, tenant_id: str, wanted: Listing) -> Sequence[Asset]:
        """Assets, newest first."""
        shown = {Status.READY, Status.TOMBSTONED} if wanted.include_tombstoned else {Status.READY}
        found = [
            _counted(row)
            for row in self._rows.values()
            if row.asset.tenant_id == tenant_id
            and row.asset.status in shown
            and wanted.asset_type in ("", row.asset.asset_type)
            and _is_of_job(row, wanted)
            and (not wanted.before or row.asset.asset_id < wanted.before)
        ]
        return sorted(found, key=lambda asset: asset.asset_id, reverse=True)[: wanted.size]

    async def release(
        self, tenant_id: str, asset_id: str, release: Release, reason: str, now: datetime
    ) -> Asset | None:
        """Gives up one hold."""
        row = self._row(tenant_id, asset_id)
        if row is None:
            return None
        if release.job_id:
            if row.holders.get(release.job_id, release.subject) not in ("", release.subject) and not release.by_service:
                raise SomaError(Reason.PERMISSION_DENIED, "another subject's job holds this asset")
            given = {release.job_id}
        else:
            given = {SUBJECT_MARK + release.subject} | ({DIRECT} if row.asset.created_by == release.subject else set())
        row.holders = {name: subject for name, subject in row.holders.items() if name not in given}
        return self._tombstoned(row, now)

    async def erase(self, tenant_id: str, asset_id: str, reason: str, now: datetime) -> Asset | None:
        """Ends all holds."""
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

    async def claim(self, now: datetime, again_after: datetime, limit: int) -> Sequence[Asset]:
        """Rows whose bytes are to be deleted."""
        due = [
            row
            for row in self._rows.values()
            if row.asset.status is not Status.READY and not row.bytes_erased and row.sweep_after <= now
        ]
        for row in due[:limit]:
            row.sweep_after = again_after
            if row.asset.status is Status.PENDING:
                row.asset = replace(row.asset, status=Status.ERASING)
        return [row.asset for row in due[:limit]]

    async def bytes_deleted(self, asset: Asset) -> None:
        """Confirms that the bytes are gone."""
        row = self._rows.get(asset.asset_id)
        if row is not None and row.asset.status is Status.ERASING:
            del self._rows[asset.asset_id]
        elif row is not None and row.asset.status is Status.TOMBSTONED:
            row.bytes_erased = True

    async def claim_holders(self, now: datetime, again_after: datetime) -> Asset | None:
        """None: an erasure leaves no holders."""
        return None

    async def remove_holders(self, asset: Asset, now: datetime) -> None:
        """Removes nothing: there are none left."""

    async def unreferenced(self, asset_ids: Sequence[str]) -> Sequence[str]:
        """Those of the ids that no row may have bytes for."""
        assets = (row.asset for row in self._rows.values())
        stored = {one.asset_id for one in assets if one.status is not Status.TOMBSTONED and not one.is_inline}
        return [asset_id for asset_id in asset_ids if asset_id not in stored]


def _is_of_job(row: _Row, wanted: Listing) -> bool:
    own = () if wanted.only_held else (row.asset.origin.job_id,)
    return not wanted.job_id or wanted.job_id in row.holders or wanted.job_id in own


def _counted(row: _Row) -> Asset:
    return replace(row.asset, reference_count=len(row.holders))


class MemorySweep:
    """How far the listing was compared."""

    def __init__(self) -> None:
        self.cursor, self.leased_until, self.finished_at = "", FIRST, FIRST

    async def store_id(self) -> str:
        """Id that the blob store of these rows carries."""
        return "memory"

    async def take(self, now: datetime, finished_before: datetime, leased_until: datetime) -> str | None:
        """Takes the sweep over."""
        if self.leased_until > now or self.finished_at > finished_before:
            return None
        self.leased_until = leased_until
        return self.cursor

    async def advance(self, cursor: str, leased_until: datetime) -> None:
        """Remembers the last path that was compared."""
        self.cursor, self.leased_until = cursor, leased_until

    async def finish(self, now: datetime) -> None:
        """Gives the sweep back, done."""
        self.cursor, self.leased_until, self.finished_at = "", FIRST, now


class MemoryReads:
    """Reads as they were noted."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, str]] = []

    def note(self, resource_type: str, resource_id: str) -> None:
        """Takes a read."""
        self.noted.append((resource_type, resource_id))


class MemoryPermissions:
    """The same permissions for every caller."""

    def __init__(self, permissions: Permissions | None = None) -> None:
        self.permissions = permissions or Permissions()

    async def of_caller(self) -> Permissions:
        """The permissions."""
        return self.permissions


class MemoryBytes:
    """Bytes by path."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._blobs: dict[str, bytes] = {}
        self._clock = clock
        self._modified: dict[str, datetime] = {}
        self._store_id = ""

    async def put(self, path: str, body: AsyncIterator[bytes]) -> None:
        """Writes them."""
        self._blobs[path] = b"".join([piece async for piece in body])
        self._modified[path] = self._clock.now() if self._clock else FIRST

    async def get(self, path: str, offset: int, length: int | None) -> AsyncIterator[bytes]:
        """Reads them in pieces."""
        if path not in self._blobs:
            raise SomaError(Reason.DATA_LOSS, "the stored bytes are gone")
        end = None if length is None else offset + length
        body = self._blobs[path][offset:end]
        for start in range(0, len(body), PIECE):
            yield body[start : start + PIECE]

    async def delete(self, path: str) -> None:
        """Removes them."""
        self._blobs.pop(path, None)

    async def claim_store(self, store_id: str) -> bool:
        """Writes an id into the store unless it has one; whether it has this one now."""
        self._store_id = self._store_id or store_id
        return self._store_id == store_id

    async def pages(self, after: str, size: int) -> AsyncIterator[Sequence[StoredBlob]]:
        """All blobs after a path, in pages."""
        paths = sorted(path for path in self._blobs if path > after)
        for start in range(0, len(paths), size):
            yield [StoredBlob(path, self._modified[path]) for path in paths[start : start + size]]

    async def remove_unfinished(self, before: datetime, size: int) -> AsyncIterator[int]:
        """Removes nothing: a put that is killed leaves nothing."""
        yield 0

    def paths(self) -> set[str]:
        """What is kept."""
        return set(self._blobs)
