"""What the asset store needs from outside."""

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
        Listing,
        Release,
        StoredBlob,
        UploadMetadata,
    )


class Rows(Protocol):
    """Metadata, holds, requests, and the bytes of small assets."""

    async def begin(self, asset: Asset, sweep_after: datetime) -> None:
        """Writes a PENDING row, which a sweep may claim after a moment."""

    async def join(self, draft: Asset, hold: Hold, request_id: str) -> Asset | None:
        """Adds a hold to the READY asset that has the bytes of a draft; None when the tenant has none.

        The asset gets the stricter classification of the two. Here and in the next two: IDEMPOTENCY_MISMATCH or
        FAILED_PRECONDITION when another upload took the request id first, see `domain.rules.repeated`.
        """

    async def create(self, draft: Asset, hold: Hold, request_id: str, content: bytes) -> Asset:
        """Writes a READY row with its bytes, hold, request and event in one transaction; joins one with the bytes."""

    async def commit(self, draft: Asset, hold: Hold, request_id: str, now: datetime) -> Asset:
        """Makes a PENDING row READY with its hold, request and event in one transaction.

        When the tenant has the same bytes READY, the hold goes to that asset, which is answered with `deduplicated`,
        and the PENDING row becomes ERASING. CONFLICT when a sweep claimed the row.
        """

    async def discard(self, draft: Asset, now: datetime) -> None:
        """Makes a PENDING row ERASING: it is never committed, and its bytes are to be deleted."""

    async def refused(self, tenant_id: str, checksum: str, why: str) -> None:
        """Has it audited that what came in with this checksum was refused."""

    async def get(self, tenant_id: str, asset_id: str) -> Asset | None:
        """One asset that is READY or TOMBSTONED."""

    async def content(self, tenant_id: str, asset_id: str, offset: int, length: int) -> bytes | None:
        """Bytes of a small asset that is READY; None when it is not, or has none in its row."""

    async def by_request(self, tenant_id: str, request_id: str) -> EarlierUpload | None:
        """What an upload with this request id stored."""

    async def list(self, tenant_id: str, wanted: Listing) -> Sequence[Asset]:
        """Assets, newest first; one more than the page when there is a next one."""

    async def release(
        self, tenant_id: str, asset_id: str, release: Release, reason: str, now: datetime
    ) -> Asset | None:
        """Gives up one hold; with none left the asset becomes a tombstone. None when there is no such asset.

        PERMISSION_DENIED for the hold of a job that another subject took.
        """

    async def erase(self, tenant_id: str, asset_id: str, reason: str, now: datetime) -> Asset | None:
        """Makes a tombstone, which nobody holds; None when there is no such asset.

        Where it had very many holders, records of them may be left for `remove_holders`.
        """

    async def claim(self, now: datetime, again_after: datetime, limit: int) -> Sequence[Asset]:
        """Rows whose bytes are to be deleted: PENDING ones become ERASING, so that they never become READY.

        None of them is claimed again before a moment.
        """

    async def bytes_deleted(self, asset: Asset) -> None:
        """Confirms that the bytes are gone: an ERASING row goes, a tombstone remembers it."""

    async def claim_holders(self, now: datetime, again_after: datetime) -> Asset | None:
        """A tombstone whose records of holders are due to be removed, None when there is none.

        It is not claimed again before a moment, unless some are removed.
        """

    async def remove_holders(self, asset: Asset, now: datetime) -> None:
        """Removes some of the records of holders that a tombstone has left; the others are due at `now`."""

    async def unreferenced(self, asset_ids: Sequence[str]) -> Sequence[str]:
        """Those of the ids that no row may have bytes for: it is not there, a tombstone, or has them itself."""


class SweepState(Protocol):
    """How far the listing of the blob store was compared with the rows; one sweep at a time."""

    async def store_id(self) -> str:
        """Id that the blob store of these rows carries."""

    async def take(self, now: datetime, finished_before: datetime, leased_until: datetime) -> str | None:
        """Takes the sweep over; gives the path to go on after.

        None while another replica has it, or when one was finished after a moment.
        """

    async def advance(self, cursor: str, leased_until: datetime) -> None:
        """Remembers the last path that was compared."""

    async def finish(self, now: datetime) -> None:
        """Gives the sweep back, done."""


class Bytes(Protocol):
    """Bytes by path."""

    async def put(self, path: str, body: AsyncIterator[bytes]) -> None:
        """Writes them, whole or not at all."""

    def get(self, path: str, offset: int, length: int | None) -> AsyncIterator[bytes]:
        """Reads them in pieces; DATA_LOSS error when they are not there."""

    async def delete(self, path: str) -> None:
        """Removes them; nothing happens when they are not there."""

    async def claim_store(self, store_id: str) -> bool:
        """Writes an id into the store unless it has one; whether it has this one now."""

    def pages(self, after: str, size: int) -> AsyncIterator[Sequence[StoredBlob]]:
        """All blobs, in pages; those after a path where the store has an order."""

    def remove_unfinished(self, before: datetime, size: int) -> AsyncIterator[int]:
        """Removes what puts left that were killed, and that nothing was written to since a moment.

        Gives how many were removed, for each `size` files looked at.
        """


class Spool(Protocol):
    """An upload on its way, kept until it is judged. Small ones stay in memory."""

    size: int

    @property
    def checksum(self) -> str:
        """SHA-256 of what came so far, lower-case hex."""

    @property
    def content(self) -> bytes:
        """All of it while it is in memory, else nothing."""

    @property
    def path(self) -> str:
        """The file that has it, "" while it is in memory."""

    def read(self) -> AsyncIterator[bytes]:
        """All of it, in pieces."""


class Spooler(Protocol):
    """Takes uploads in."""

    def take(self, body: AsyncIterator[bytes], limit: SizeLimit) -> AbstractAsyncContextManager[Spool]:
        """Takes in a body, hashing as it comes; PAYLOAD_TOO_LARGE as soon as it passes the limit."""


class ReadLog(Protocol):
    """Has it audited who reads what."""

    def note(self, resource_type: str, resource_id: str) -> None:
        """Takes a read by the caller being served; never waits."""


class PermissionSource(Protocol):
    """What the caller being served may store."""

    async def of_caller(self) -> Permissions:
        """The permissions; DEPENDENCY_UNAVAILABLE when they are not known."""


class Inspector(Protocol):
    """Looks at what came in."""

    async def examine(self, tenant_id: str, spool: Spool) -> InspectionResult:
        """Tells the type from the bytes, and why they must not be stored: malware, decompression bombs, pictures too
        large to decode, bodies that take too much to examine.
        """


class Ingesting(Protocol):
    """The use case, as it is served and wrapped."""

    async def store(self, tenant_id: str, subject: str, declared: UploadMetadata, body: AsyncIterator[bytes]) -> Asset:
        """Stores a body."""
