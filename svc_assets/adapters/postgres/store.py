"""Rows of assets, holders and request ids in Postgres; their events are written in the same transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

import asyncpg

from mesh.errors import Reason, SomaError
from mesh.events.audit import DENIED
from mesh.stores.postgres import SYSTEM
from svc_assets.adapters.postgres import statements as sql
from svc_assets.adapters.postgres.holders import released_holders, remove_holder_batch
from svc_assets.adapters.postgres.rows import asset_from_row, audit_state, parse_uuid, row_values
from svc_assets.domain.model import EarlierUpload, Status
from svc_assets.domain.rules import answer_repeated_upload, strictest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mesh.events.audit import Auditor
    from mesh.events.event import Event
    from mesh.events.outbox import Outbox
    from mesh.stores.postgres import Postgres
    from svc_assets.domain.model import Asset, Hold, ListQuery, ReleaseRequest

_MAX_ATTEMPTS = 3
"""Attempts of an upload when the asset with the same bytes is erased each time before the hold is added."""


class EventFactory(Protocol):
    """Makes the events of assets."""

    def stored(self, asset: Asset) -> Event:
        """Returns AssetStored."""

    def tombstoned(self, asset: Asset, reason: str) -> Event:
        """Returns AssetTombstoned."""


class PostgresAssetStore:
    """`AssetStore` in Postgres."""

    def __init__(self, postgres: Postgres, outbox: Outbox, auditor: Auditor, events: EventFactory) -> None:
        self._postgres = postgres
        self._outbox = outbox
        self._auditor = auditor
        self._events = events

    async def add_pending(self, asset: Asset, sweep_after: datetime) -> None:
        """Inserts a PENDING row."""
        async with self._postgres.transaction(asset.tenant_id) as connection:
            await connection.execute(sql.INSERT_PENDING, *row_values(asset, Status.PENDING), sweep_after, None)

    async def hold_existing(self, draft: Asset, hold: Hold, request_id: str) -> Asset | None:
        """Adds a hold to the READY asset that has the bytes, if there is one."""
        async with self._postgres.transaction(draft.tenant_id) as connection:
            return await self._hold_existing(connection, draft, hold, request_id)

    async def add_ready(self, draft: Asset, hold: Hold, request_id: str, content: bytes) -> Asset:
        """Inserts a READY row with its bytes, or adds the hold to the asset that has them."""
        async with self._postgres.transaction(draft.tenant_id) as connection:
            for _ in range(_MAX_ATTEMPTS):
                values = (*row_values(draft, Status.READY), None, content, hold.holder, hold.subject)
                if await connection.fetchval(sql.INSERT_READY, *values):
                    stored = replace(draft, status=Status.READY)
                    await self._add_request(connection, stored, draft, hold, request_id)
                    await self._publish_stored(connection, None, stored, draft)
                    return stored
                existing = await self._hold_existing(connection, draft, hold, request_id)
                if existing is not None:
                    return existing
        raise SomaError(Reason.CONFLICT, "the same bytes were erased meanwhile; send them again")

    async def commit(self, draft: Asset, hold: Hold, request_id: str, now: datetime) -> Asset:
        """Makes the row READY, or adds its hold to the asset that has the bytes."""
        async with self._postgres.transaction(draft.tenant_id) as connection:
            try:
                async with connection.transaction():
                    is_ready = await connection.fetchval(sql.MARK_READY, draft.asset_id)
            except asyncpg.UniqueViolationError:
                existing = await self._hold_existing(connection, draft, hold, request_id)
                if existing is None:
                    raise SomaError(Reason.CONFLICT, "the same bytes were erased meanwhile; send them again") from None
                await connection.execute(sql.MARK_ERASING, draft.asset_id, now)
                return existing
            if not is_ready:
                raise SomaError(Reason.CONFLICT, "the upload took too long; send it again")
            stored = replace(draft, status=Status.READY)
            await connection.execute(sql.ADD_HOLDER, draft.tenant_id, draft.asset_id, hold.holder, hold.subject)
            await self._add_request(connection, stored, draft, hold, request_id)
            await self._publish_stored(connection, None, stored, draft)
        return stored

    async def _hold_existing(
        self, connection: asyncpg.Connection, draft: Asset, hold: Hold, request_id: str
    ) -> Asset | None:
        row = await connection.fetchrow(sql.BY_CHECKSUM, draft.tenant_id, draft.checksum)
        if row is None:
            return None
        before = asset_from_row(row)
        values = (draft.tenant_id, before.asset_id, hold.holder, hold.subject)
        is_new_hold = await connection.fetchval(sql.ADD_HOLDER, *values)
        classification = strictest(before.classification, draft.classification)
        if classification != before.classification:
            await connection.execute(sql.SET_CLASSIFICATION, before.asset_id, classification)
        stored = replace(
            before,
            reference_count=before.reference_count + bool(is_new_hold),
            classification=classification,
            deduplicated=True,
        )
        await self._add_request(connection, stored, draft, hold, request_id)
        if replace(stored, deduplicated=False) != before:
            await self._publish_stored(connection, before, stored, draft)
        return stored

    async def _add_request(
        self, connection: asyncpg.Connection, stored: Asset, draft: Asset, hold: Hold, request_id: str
    ) -> None:
        """Inserts the request id; when another upload inserted it first, that must have been a repeat of this one."""
        if not request_id:
            return
        values = (draft.tenant_id, request_id, stored.asset_id, draft.checksum, hold.holder)
        if await connection.fetchval(sql.ADD_REQUEST, *values):
            return
        earlier = await self._get_by_request(connection, draft.tenant_id, request_id)
        if earlier is not None:
            answer_repeated_upload(earlier, draft.checksum, hold)

    async def _publish_stored(
        self, connection: asyncpg.Connection, before: Asset | None, stored: Asset, draft: Asset
    ) -> None:
        await self._outbox.add(connection, self._events.stored(replace(stored, origin=draft.origin)))
        await self._audit(connection, "asset.create", before, stored)

    async def _audit(
        self, connection: asyncpg.Connection, action: str, before: Asset | None, after: Asset, reason: str = ""
    ) -> None:
        await self._auditor.record(
            connection,
            action=action,
            resource_type="asset",
            resource_id=after.asset_id,
            before=audit_state(before) if before else None,
            after=audit_state(after),
            tenant_id=after.tenant_id,
            reason=reason,
        )

    async def discard(self, draft: Asset, now: datetime) -> None:
        """Makes a PENDING row ERASING."""
        async with self._postgres.transaction(draft.tenant_id) as connection:
            await connection.execute(sql.MARK_ERASING, draft.asset_id, now)

    async def record_rejection(self, tenant_id: str, checksum: str, reason: str) -> None:
        """Writes an audit entry of a rejected upload."""
        async with self._postgres.transaction(tenant_id) as connection:
            await self._auditor.record(
                connection,
                action="asset.create",
                resource_type="upload",
                resource_id=checksum,
                before=None,
                after=None,
                tenant_id=tenant_id,
                reason=reason,
                decision=DENIED,
            )

    async def get(self, tenant_id: str, asset_id: str) -> Asset | None:
        """Returns an asset that is READY or TOMBSTONED."""
        if (key := parse_uuid(asset_id)) is None:
            return None
        async with self._postgres.transaction(tenant_id) as connection:
            row = await connection.fetchrow(sql.BY_ID, key)
        return asset_from_row(row) if row else None

    async def get_content(self, tenant_id: str, asset_id: str, offset: int, length: int) -> bytes | None:
        """Returns bytes of a READY asset that has them in its row."""
        async with self._postgres.transaction(tenant_id) as connection:
            content: bytes | None = await connection.fetchval(sql.CONTENT, UUID(asset_id), offset, length)
        return content

    async def get_by_request(self, tenant_id: str, request_id: str) -> EarlierUpload | None:
        """Returns what an upload with this request id stored."""
        async with self._postgres.transaction(tenant_id) as connection:
            return await self._get_by_request(connection, tenant_id, request_id)

    @staticmethod
    async def _get_by_request(connection: asyncpg.Connection, tenant_id: str, request_id: str) -> EarlierUpload | None:
        row = await connection.fetchrow(sql.BY_REQUEST, tenant_id, request_id)
        if row is None:
            return None
        return EarlierUpload(asset_from_row(row), row["request_checksum"], row["holder"], row["is_held"])

    async def list(self, tenant_id: str, query: ListQuery) -> Sequence[Asset]:
        """Returns assets, newest first."""
        statement, arguments = sql.list_statement(tenant_id, query)
        async with self._postgres.transaction(tenant_id) as connection:
            rows = await connection.fetch(statement, *arguments)
        return [asset_from_row(row) for row in rows]

    async def release(
        self, tenant_id: str, asset_id: str, release: ReleaseRequest, reason: str, now: datetime
    ) -> Asset | None:
        """Releases one hold; after the last one the row becomes a tombstone."""
        return await self._release_holds(tenant_id, asset_id, release, reason, now)

    async def erase(self, tenant_id: str, asset_id: str, reason: str, now: datetime) -> Asset | None:
        """Makes the row a tombstone and removes one batch of holders; the sweep removes the others."""
        return await self._release_holds(tenant_id, asset_id, None, reason, now)

    async def _release_holds(
        self, tenant_id: str, asset_id: str, release: ReleaseRequest | None, reason: str, now: datetime
    ) -> Asset | None:
        if (key := parse_uuid(asset_id)) is None:
            return None
        async with self._postgres.transaction(tenant_id) as connection:
            row = await connection.fetchrow(sql.BY_ID_FOR_UPDATE, key)
            before = asset_from_row(row) if row else None
            if before is None or before.status is Status.TOMBSTONED:
                return before
            if release is not None:
                await connection.execute(sql.REMOVE_HOLDERS, key, await released_holders(connection, before, release))
            if release is None or not await connection.fetchval(sql.HAS_HOLDERS, key):
                await connection.execute(sql.TOMBSTONE, key, now)
            if release is None:
                await remove_holder_batch(connection, before.asset_id, now)
            after = asset_from_row(await connection.fetchrow(sql.BY_ID, key))
            if after.status is Status.TOMBSTONED:
                await self._outbox.add(connection, self._events.tombstoned(after, reason))
            if after != before:
                await self._audit(connection, "asset.delete" if release else "asset.erase", before, after, reason)
        return after

    async def claim_for_deletion(self, now: datetime, next_claim_at: datetime, limit: int) -> Sequence[Asset]:
        """Returns rows whose bytes are to be deleted."""
        async with self._postgres.transaction(SYSTEM) as connection:
            rows = await connection.fetch(sql.CLAIM_FOR_DELETION, now, next_claim_at, limit)
        return [asset_from_row(row) for row in rows]

    async def confirm_deletion(self, asset: Asset) -> None:
        """Deletes an ERASING row, or marks the bytes of a tombstone as erased."""
        statement = sql.MARK_BYTES_ERASED if asset.status is Status.TOMBSTONED else sql.DELETE_ERASING
        async with self._postgres.transaction(asset.tenant_id) as connection:
            await connection.execute(statement, asset.asset_id)

    async def claim_tombstone_with_holders(self, now: datetime, next_claim_at: datetime) -> Asset | None:
        """Returns a tombstone that still has rows of holders."""
        async with self._postgres.transaction(SYSTEM) as connection:
            row = await connection.fetchrow(sql.CLAIM_TOMBSTONE_WITH_HOLDERS, now, next_claim_at)
        return asset_from_row(row) if row else None

    async def remove_holders(self, asset: Asset, now: datetime) -> None:
        """Removes one batch of the holders of a tombstone."""
        async with self._postgres.transaction(asset.tenant_id) as connection:
            await remove_holder_batch(connection, asset.asset_id, now)

    async def filter_unreferenced(self, asset_ids: Sequence[str]) -> Sequence[str]:
        """Returns the ids whose blobs no asset uses."""
        async with self._postgres.transaction(SYSTEM) as connection:
            rows = await connection.fetch(sql.UNREFERENCED, [UUID(asset_id) for asset_id in asset_ids])
        return [row[0] for row in rows]
