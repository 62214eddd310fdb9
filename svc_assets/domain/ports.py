"""What the asset store needs from outside."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from svc_assets.domain.model import Asset, Listing, Sniffed


class Rows(Protocol):
    """Metadata, holders and requests."""

    async def begin(self, asset: Asset) -> None:
        """Writes a PENDING row."""

    async def commit(self, asset: Asset, holder: str, request_id: str) -> Asset:
        """Makes a PENDING row READY with its holder, request and event in one transaction.

        When the tenant has the same bytes READY, the holder and request go to that asset, the PENDING row goes, and
        that asset is answered with `deduplicated`.
        """

    async def refused(self, tenant_id: str, checksum: str, why: str) -> None:
        """Has it audited that what came in with this checksum was refused."""

    async def abandon(self, asset_id: str, tenant_id: str) -> None:
        """Removes a PENDING row."""

    async def get(self, tenant_id: str, asset_id: str) -> Asset | None:
        """One asset that is READY or TOMBSTONED."""

    async def by_checksum(self, tenant_id: str, checksum: str) -> Asset | None:
        """The READY asset with these bytes."""

    async def by_request(self, tenant_id: str, request_id: str) -> Asset | None:
        """The asset that an upload with this request id made or found."""

    async def list(self, tenant_id: str, wanted: Listing) -> Sequence[Asset]:
        """Assets, newest first; one more than the page when there is a next one."""

    async def release(self, tenant_id: str, asset_id: str, holder: str, reason: str, now: datetime) -> Asset | None:
        """Gives up one holder, all of them where `holder` is empty; with none left it becomes a tombstone.

        None when there is no such asset.
        """

    async def stale(self, before: datetime) -> Sequence[Asset]:
        """PENDING rows older than a moment, and tombstones whose bytes are not confirmed gone."""

    async def erased(self, asset_id: str, tenant_id: str) -> None:
        """Confirms that a tombstone's bytes are gone."""


class Bytes(Protocol):
    """Bytes by path."""

    async def put(self, path: str, body: AsyncIterator[bytes]) -> None:
        """Writes them, whole or not at all."""

    def get(self, path: str, offset: int, length: int | None) -> AsyncIterator[bytes]:
        """Reads them in pieces; DATA_LOSS error when they are not there."""

    async def delete(self, path: str) -> None:
        """Removes them; nothing happens when they are not there."""


class Spool(Protocol):
    """An upload on its way, kept until it is judged. Small ones stay in memory."""

    size: int

    @property
    def checksum(self) -> str:
        """SHA-256 of what came so far, lower-case hex."""

    async def head(self, size: int) -> bytes:
        """The first bytes."""

    def read(self) -> AsyncIterator[bytes]:
        """All of it, in pieces."""

    def handle(self) -> IO[bytes]:
        """The file, at its start, for libraries that read files."""


class Spooler(Protocol):
    """Takes uploads in."""

    def take(self, body: AsyncIterator[bytes], max_bytes: int) -> AbstractAsyncContextManager[Spool]:
        """Takes in a body, hashing as it comes; PAYLOAD_TOO_LARGE as soon as it passes the limit."""


class Inspector(Protocol):
    """Looks at what came in."""

    async def sniff(self, spool: Spool) -> Sniffed:
        """Tells the type from the bytes."""

    async def inspect(self, spool: Spool, sniffed: Sniffed) -> None:
        """CONTENT_REJECTED, saying why, for malware, decompression bombs and pictures too large to decode."""
