"""Ports of the asset store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from svc_assets.domain.limits import Permissions, SizeLimit
    from svc_assets.domain.model import (
        Asset,
        EarlierUpload,
        Hold,
        InspectionResult,
        ListQuery,
        ReleaseRequest,
        StoredBlob,
        UploadMetadata,
    )


class AssetStore(Protocol):
    """Rows of assets: metadata, holds, request ids, and the bytes of small assets."""

    async def add_pending(self, asset: Asset, sweep_after: datetime) -> None:
        """Inserts a PENDING row, which a sweep may claim after `sweep_after`."""

    async def hold_existing(self, draft: Asset, hold: Hold, request_id: str) -> Asset | None:
        """Adds a hold to the READY asset that has the bytes of a draft; returns None when the tenant has no such asset.

        The asset gets the stricter classification of the two. Here, in `add_ready` and in `commit`:
        IDEMPOTENCY_MISMATCH or FAILED_PRECONDITION when another upload used the request id first, see
        `domain.rules.answer_repeated_upload`.
        """

    async def add_ready(self, draft: Asset, hold: Hold, request_id: str, content: bytes) -> Asset:
        """Inserts a READY row with bytes, hold, request and event in one transaction, or does as `hold_existing`."""

    async def commit(self, draft: Asset, hold: Hold, request_id: str, now: datetime) -> Asset:
        """Makes a PENDING row READY with its hold, request and event in one transaction.

        When the tenant has a READY asset with the same bytes, that one gets the hold and is returned with
        `deduplicated`, and the PENDING row becomes ERASING. CONFLICT when a sweep claimed the row.
        """

    async def discard(self, draft: Asset, now: datetime) -> None:
        """Makes a PENDING row ERASING: it can no longer be committed, and its bytes are to be deleted."""

    async def record_rejection(self, tenant_id: str, checksum: str, reason: str) -> None:
        """Writes an audit entry: the upload with this checksum was rejected."""

    async def get(self, tenant_id: str, asset_id: str) -> Asset | None:
        """Returns an asset that is READY or TOMBSTONED."""

    async def get_content(self, tenant_id: str, asset_id: str, offset: int, length: int) -> bytes | None:
        """Returns bytes of a READY asset that has them in its row; None for another."""

    async def get_by_request(self, tenant_id: str, request_id: str) -> EarlierUpload | None:
        """Returns what an upload with this request id stored."""

    async def list(self, tenant_id: str, query: ListQuery) -> Sequence[Asset]:
        """Returns assets, newest first."""

    async def release(
        self, tenant_id: str, asset_id: str, release: ReleaseRequest, reason: str, now: datetime
    ) -> Asset | None:
        """Releases one hold; after the last one the asset becomes a tombstone. None when there is no such asset.

        PERMISSION_DENIED for the hold of a job that another subject added.
        """

    async def erase(self, tenant_id: str, asset_id: str, reason: str, now: datetime) -> Asset | None:
        """Makes an asset a tombstone, which has no holds; None when there is no such asset.

        Rows of holders beyond one batch are left for `remove_holders`.
        """

    async def claim_for_deletion(self, now: datetime, next_claim_at: datetime, limit: int) -> Sequence[Asset]:
        """Returns assets whose bytes must be deleted; PENDING ones become ERASING, so that they never become READY.

        None of them can be claimed again before `next_claim_at`.
        """

    async def confirm_deletion(self, asset: Asset) -> None:
        """Confirms that the bytes are deleted: removes an ERASING row, marks a tombstone."""

    async def claim_tombstone_with_holders(self, now: datetime, next_claim_at: datetime) -> Asset | None:
        """Returns a tombstone whose rows of holders are due to be removed, None when there is none.

        It cannot be claimed again before `next_claim_at`, unless `remove_holders` makes it due earlier.
        """

    async def remove_holders(self, asset: Asset, now: datetime) -> None:
        """Removes one batch of the rows of holders of a tombstone; the others are due at `now`."""

    async def filter_unreferenced(self, asset_ids: Sequence[str]) -> Sequence[str]:
        """Returns the ids whose blobs no asset uses: there is no row, a tombstone, or one that has the bytes itself."""


class SweepState(Protocol):
    """Progress of the sweep that compares the blob store with the rows; one replica at a time has its lease."""

    async def store_id(self) -> str:
        """Returns the id that the blob store of these rows is marked with."""

    async def acquire(self, now: datetime, finished_before: datetime, leased_until: datetime) -> str | None:
        """Acquires the lease of the sweep; returns the path after which to continue.

        None while another replica has the lease, and when a sweep finished after `finished_before`.
        """

    async def advance(self, cursor: str, leased_until: datetime) -> None:
        """Saves the last path that was compared, and extends the lease."""

    async def finish(self, now: datetime) -> None:
        """Marks the sweep as finished and releases the lease."""


class BlobStore(Protocol):
    """The bytes of assets by path."""

    async def put(self, path: str, body: AsyncIterator[bytes]) -> None:
        """Writes a blob atomically."""

    def get(self, path: str, offset: int, length: int | None) -> AsyncIterator[bytes]:
        """Returns a blob, or `length` bytes of it, in chunks; DATA_LOSS when it does not exist."""

    async def delete(self, path: str) -> None:
        """Deletes a blob if it exists."""

    async def claim_store(self, store_id: str) -> bool:
        """Marks the store with an id unless it has one; returns whether it has this one now."""

    def pages(self, after: str, size: int) -> AsyncIterator[Sequence[StoredBlob]]:
        """Returns all blobs, in pages; only those after the path `after` where the store lists in order."""

    def remove_unfinished(self, before: datetime, size: int) -> AsyncIterator[int]:
        """Removes the partial files of interrupted puts that were last written before `before`.

        Returns how many were removed, once for each `size` files examined.
        """


class Spool(Protocol):
    """The body of one upload until it is stored or rejected: in memory while small, else in a file."""

    size: int

    @property
    def checksum(self) -> str:
        """SHA-256 of what was received so far, lower-case hex."""

    @property
    def content(self) -> bytes:
        """The body while it is in memory, else nothing."""

    @property
    def path(self) -> str:
        """The path of the file with the body, "" while it is in memory."""

    def read(self) -> AsyncIterator[bytes]:
        """Returns the body in chunks."""


class Spooler(Protocol):
    """Receives the bodies of uploads."""

    def receive(self, body: AsyncIterator[bytes], limit: SizeLimit) -> AbstractAsyncContextManager[Spool]:
        """Receives and hashes a body; PAYLOAD_TOO_LARGE as soon as it exceeds the limit."""


class ReadAudit(Protocol):
    """Writes audit entries of reads."""

    def record(self, resource_type: str, resource_id: str) -> None:
        """Records a read by the caller of the current request; does no I/O."""


class PermissionSource(Protocol):
    """Reads what the caller of the current request may store."""

    async def get_for_caller(self) -> Permissions:
        """Returns the permissions; DEPENDENCY_UNAVAILABLE when they cannot be read."""


class Inspector(Protocol):
    """Inspects the bodies of uploads."""

    async def inspect(self, tenant_id: str, spool: Spool) -> InspectionResult:
        """Detects the type of the bytes, and whether they must be rejected: malware, decompression bombs, pictures too
        large to decode, bodies whose inspection exceeds its limits of time and memory.
        """


class IngestUseCase(Protocol):
    """The use case of uploads, which decorators wrap."""

    async def store(self, tenant_id: str, subject: str, upload: UploadMetadata, body: AsyncIterator[bytes]) -> Asset:
        """Stores a body."""
