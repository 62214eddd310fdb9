"""Metadata, holds, requests and small bodies in Postgres, with events in the same transaction."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

import asyncpg
from pydantic import TypeAdapter

from mesh.errors import Reason, SomaError
from mesh.events.audit import DENIED, canonical
from mesh.stores.postgres import SYSTEM
from svc_assets.adapters.postgres import statements as sql
from svc_assets.adapters.postgres.holders import given_up, remove_some
from svc_assets.domain.model import Asset, EarlierUpload, Status
from svc_assets.domain.rules import repeated, strictest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mesh.events.audit import Auditor
    from mesh.events.event import Event
    from mesh.events.outbox import Outbox
    from mesh.stores.postgres import Postgres
    from svc_assets.domain.model import Hold, Listing, Release

_ASSET: TypeAdapter[Asset] = TypeAdapter(Asset)
_ROUNDS = 3
"""Tries of an upload whose bytes are erased each time it is about to join them."""


class Facts(Protocol):
    """Makes the events of assets."""

    def stored(self, asset: Asset) -> Event:
        """AssetStored."""

    def tombstoned(self, asset: Asset, reason: str) -> Event:
        """AssetTombstoned."""


class PostgresRows:
    """The rows of a cluster."""

    def __init__(self, postgres: Postgres, outbox: Outbox, auditor: Auditor, facts: Facts) -> None:
        self._postgres = postgres
        self._outbox = outbox
        self._auditor = auditor
        self._facts = facts

    async def begin(self, asset: Asset, sweep_after: datetime) -> None:
        """Writes a PENDING row."""
        async with self._postgres.transaction(asset.tenant_id) as connection:
            await connection.execute(sql.BEGIN, *_values(asset, Status.PENDING), sweep_after, None)

    async def join(self, draft: Asset, hold: Hold, request_id: str) -> Asset | None:
        """Adds a hold to the READY asset that has the bytes."""
        async with self._postgres.transaction(draft.tenant_id) as connection:
            return await self._join(connection, draft, hold, request_id)

    async def create(self, draft: Asset, hold: Hold, request_id: str, content: bytes) -> Asset:
        """Writes a READY row with its bytes, or joins one that has them."""
        async with self._postgres.transaction(draft.tenant_id) as connection:
            for _ in range(_ROUNDS):
                values = (*_values(draft, Status.READY), None, content, hold.holder, hold.subject)
                if await connection.fetchval(sql.CREATE, *values):
                    stored = replace(draft, status=Status.READY)
                    await self._request(connection, stored, draft, hold, request_id)
                    await self._publish_stored(connection, None, stored, draft)
                    return stored
                joined = await self._join(connection, draft, hold, request_id)
                if joined is not None:
                    return joined
        raise SomaError(Reason.CONFLICT, "the same bytes were erased meanwhile; send them again")

    async def commit(self, draft: Asset, hold: Hold, request_id: str, now: datetime) -> Asset:
        """Makes the row READY, or gives its hold to the asset that has the bytes."""
        async with self._postgres.transaction(draft.tenant_id) as connection:
            try:
                async with connection.transaction():
                    is_ready = await connection.fetchval(sql.READY, draft.asset_id)
            except asyncpg.UniqueViolationError:
                joined = await self._join(connection, draft, hold, request_id)
                if joined is None:
                    raise SomaError(Reason.CONFLICT, "the same bytes were erased meanwhile; send them again") from None
                await connection.execute(sql.DISCARD, draft.asset_id, now)
                return joined
            if not is_ready:
                raise SomaError(Reason.CONFLICT, "the upload took too long; send it again")
            stored = replace(draft, status=Status.READY)
            await connection.execute(sql.HOLD, draft.tenant_id, draft.asset_id, hold.holder, hold.subject)
            await self._request(connection, stored, draft, hold, request_id)
            await self._publish_stored(connection, None, stored, draft)
        return stored

    async def _join(self, connection: asyncpg.Connection, draft: Asset, hold: Hold, request_id: str) -> Asset | None:
        row = await connection.fetchrow(sql.BY_CHECKSUM, draft.tenant_id, draft.checksum)
        if row is None:
            return None
        before = _asset(row)
        is_new_hold = await connection.fetchval(sql.HOLD, draft.tenant_id, before.asset_id, hold.holder, hold.subject)
        classification = strictest(before.classification, draft.classification)
        if classification != before.classification:
            await connection.execute(sql.RAISE, before.asset_id, classification)
        stored = replace(
            before,
            reference_count=before.reference_count + bool(is_new_hold),
            classification=classification,
            deduplicated=True,
        )
        await self._request(connection, stored, draft, hold, request_id)
        if replace(stored, deduplicated=False) != before:
            await self._publish_stored(connection, before, stored, draft)
        return stored

    async def _request(
        self, connection: asyncpg.Connection, stored: Asset, draft: Asset, hold: Hold, request_id: str
    ) -> None:
        """Remembers the request; when another upload was first, it must have been the same one."""
        if not request_id:
            return
        values = (draft.tenant_id, request_id, stored.asset_id, draft.checksum, hold.holder)
        if await connection.fetchval(sql.REQUEST, *values):
            return
        earlier = await self._by_request(connection, draft.tenant_id, request_id)
        if earlier is not None:
            repeated(earlier, draft.checksum, hold)

    async def _publish_stored(
        self, connection: asyncpg.Connection, before: Asset | None, stored: Asset, draft: Asset
    ) -> None:
        await self._outbox.add(connection, self._facts.stored(replace(stored, origin=draft.origin)))
        await self._audit(connection, "asset.create", before, stored)

    async def _audit(
        self, connection: asyncpg.Connection, action: str, before: Asset | None, after: Asset, reason: str = ""
    ) -> None:
        await self._auditor.record(
            connection,
            action=action,
            resource_type="asset",
            resource_id=after.asset_id,
            before=_state(before) if before else None,
            after=_state(after),
            tenant_id=after.tenant_id,
            reason=reason,
        )

    async def discard(self, draft: Asset, now: datetime) -> None:
        """Makes a PENDING row ERASING."""
        async with self._postgres.transaction(draft.tenant_id) as connection:
            await connection.execute(sql.DISCARD, draft.asset_id, now)

    async def refused(self, tenant_id: str, checksum: str, why: str) -> None:
        """Notes that an upload was refused."""
        async with self._postgres.transaction(tenant_id) as connection:
            await self._auditor.record(
                connection,
                action="asset.create",
                resource_type="upload",
                resource_id=checksum,
                before=None,
                after=None,
                tenant_id=tenant_id,
                reason=why,
                decision=DENIED,
            )

    async def get(self, tenant_id: str, asset_id: str) -> Asset | None:
        """One asset that is READY or TOMBSTONED."""
        if (key := _uuid(asset_id)) is None:
            return None
        async with self._postgres.transaction(tenant_id) as connection:
            row = await connection.fetchrow(sql.BY_ID, key)
        return _asset(row) if row else None

    async def content(self, tenant_id: str, asset_id: str, offset: int, length: int) -> bytes | None:
        """Bytes of a small asset that is READY."""
        async with self._postgres.transaction(tenant_id) as connection:
            found: bytes | None = await connection.fetchval(sql.CONTENT, UUID(asset_id), offset, length)
        return found

    async def by_request(self, tenant_id: str, request_id: str) -> EarlierUpload | None:
        """What an upload with this request id stored."""
        async with self._postgres.transaction(tenant_id) as connection:
            return await self._by_request(connection, tenant_id, request_id)

    @staticmethod
    async def _by_request(connection: asyncpg.Connection, tenant_id: str, request_id: str) -> EarlierUpload | None:
        row = await connection.fetchrow(sql.BY_REQUEST, tenant_id, request_id)
        if row is None:
            return None
        return EarlierUpload(_asset(row), row["request_checksum"], row["holder"], row["is_held"])

    async def list(self, tenant_id: str, wanted: Listing) -> Sequence[Asset]:
        """Assets, newest first."""
        statement, arguments = sql.listing(tenant_id, wanted)
        async with self._postgres.transaction(tenant_id) as connection:
            rows = await connection.fetch(statement, *arguments)
        return [_asset(row) for row in rows]

    async def release(
        self, tenant_id: str, asset_id: str, release: Release, reason: str, now: datetime
    ) -> Asset | None:
        """Gives up one hold; with none left the row becomes a tombstone."""
        return await self._end_holds(tenant_id, asset_id, release, reason, now)

    async def erase(self, tenant_id: str, asset_id: str, reason: str, now: datetime) -> Asset | None:
        """Makes a tombstone; the holders that are not removed with it are left to the sweep."""
        return await self._end_holds(tenant_id, asset_id, None, reason, now)

    async def _end_holds(
        self, tenant_id: str, asset_id: str, release: Release | None, reason: str, now: datetime
    ) -> Asset | None:
        if (key := _uuid(asset_id)) is None:
            return None
        async with self._postgres.transaction(tenant_id) as connection:
            row = await connection.fetchrow(sql.LOCKED, key)
            before = _asset(row) if row else None
            if before is None or before.status is Status.TOMBSTONED:
                return before
            if release is not None:
                await connection.execute(sql.RELEASE, key, await given_up(connection, before, release))
            if release is None or not await connection.fetchval(sql.IS_HELD, key):
                await connection.execute(sql.TOMBSTONE, key, now)
            if release is None:
                await remove_some(connection, before.asset_id, now)
            left = _asset(await connection.fetchrow(sql.BY_ID, key))
            if left.status is Status.TOMBSTONED:
                await self._outbox.add(connection, self._facts.tombstoned(left, reason))
            if left != before:
                await self._audit(connection, "asset.delete" if release else "asset.erase", before, left, reason)
        return left

    async def claim(self, now: datetime, again_after: datetime, limit: int) -> Sequence[Asset]:
        """Rows whose bytes are to be deleted."""
        async with self._postgres.transaction(SYSTEM) as connection:
            rows = await connection.fetch(sql.CLAIM, now, again_after, limit)
        return [_asset(row) for row in rows]

    async def bytes_deleted(self, asset: Asset) -> None:
        """Confirms that the bytes are gone."""
        statement = sql.BYTES_DELETED if asset.status is Status.TOMBSTONED else sql.REMOVE
        async with self._postgres.transaction(asset.tenant_id) as connection:
            await connection.execute(statement, asset.asset_id)

    async def claim_holders(self, now: datetime, again_after: datetime) -> Asset | None:
        """A tombstone that has holders left."""
        async with self._postgres.transaction(SYSTEM) as connection:
            row = await connection.fetchrow(sql.CLAIM_HOLDERS, now, again_after)
        return _asset(row) if row else None

    async def remove_holders(self, asset: Asset, now: datetime) -> None:
        """Removes some holders of a tombstone."""
        async with self._postgres.transaction(asset.tenant_id) as connection:
            await remove_some(connection, asset.asset_id, now)

    async def unreferenced(self, asset_ids: Sequence[str]) -> Sequence[str]:
        """Those of the ids that no row may have bytes for."""
        async with self._postgres.transaction(SYSTEM) as connection:
            rows = await connection.fetch(sql.UNREFERENCED, [UUID(asset_id) for asset_id in asset_ids])
        return [row[0] for row in rows]


def _values(asset: Asset, status: Status) -> tuple[object, ...]:
    return (
        asset.asset_id, asset.tenant_id, asset.asset_type, asset.format, asset.media_type, asset.filename,
        asset.size_bytes, asset.checksum, asset.classification, asset.storage_path, asset.metadata, asset.parent_id,
        asset.replaces_id, asdict(asset.origin), asset.origin.job_id, asset.created_by, asset.created_at, status,
    )  # fmt: skip


def _uuid(text: str) -> UUID | None:
    """The id, None for text that is none and so the id of nothing."""
    try:
        return UUID(text)
    except ValueError:
        return None


def _state(asset: Asset) -> bytes:
    """What is kept of an asset; whether bytes were sent twice is of the request alone."""
    return canonical(replace(asset, deduplicated=False))


def _asset(row: asyncpg.Record) -> Asset:
    return _ASSET.validate_python(dict(row))
