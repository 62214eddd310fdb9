"""Metadata, holders and requests in Postgres, with events in the same transaction."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Protocol

import asyncpg
from pydantic import TypeAdapter

from mesh.errors import Reason, SomaError
from mesh.events.audit import DENIED, canonical
from mesh.stores.postgres import SYSTEM
from svc_assets.domain.model import Asset, Status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mesh.events.audit import Auditor
    from mesh.events.event import Event
    from mesh.events.outbox import Outbox
    from mesh.stores.postgres import Postgres
    from svc_assets.domain.model import Listing

_ASSET: TypeAdapter[Asset] = TypeAdapter(Asset)
_COUNT = "(SELECT count(*) FROM asset_holders h WHERE h.asset_id = a.asset_id) AS reference_count"
_SELECT = f"SELECT a.*, a.asset_id::text AS id, {_COUNT} FROM multimodal_assets a"  # noqa: S608


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

    async def begin(self, asset: Asset) -> None:
        """Writes a PENDING row."""
        async with self._postgres.transaction(asset.tenant_id) as connection:
            await connection.execute(
                _INSERT,
                asset.asset_id,
                asset.tenant_id,
                asset.asset_type,
                asset.format,
                asset.media_type,
                asset.filename,
                asset.size_bytes,
                asset.checksum,
                asset.classification,
                asset.storage_path,
                asset.metadata,
                asset.parent_id,
                asset.replaces_id,
                asdict(asset.origin),
                asset.created_by,
                asset.created_at,
            )

    async def commit(self, asset: Asset, holder: str, request_id: str) -> Asset:
        """Makes the row READY, or gives its holder to the asset that has the bytes."""
        async with self._postgres.transaction(asset.tenant_id) as connection:
            stored = await self._make_ready(connection, asset)
            newly_held = await connection.fetchval(_HOLD, asset.tenant_id, stored.asset_id, holder)
            if request_id:
                await connection.execute(_REQUEST, asset.tenant_id, request_id, stored.asset_id)
            answer = replace(
                await self._one(connection, stored.asset_id) or stored, deduplicated=stored.asset_id != asset.asset_id
            )
            if newly_held:
                await self._outbox.add(connection, self._facts.stored(replace(answer, origin=asset.origin)))
                before = replace(answer, reference_count=answer.reference_count - 1) if answer.deduplicated else None
                await self._audit(connection, "asset.create", before, answer)
        return answer

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

    async def _make_ready(self, connection: asyncpg.Connection, asset: Asset) -> Asset:
        try:
            async with connection.transaction():
                done = await connection.fetchval(_READY, asset.asset_id)
        except asyncpg.UniqueViolationError:
            done = None
        if done:
            return asset
        await connection.execute(
            "DELETE FROM multimodal_assets WHERE asset_id = $1 AND status = 'pending'", asset.asset_id
        )
        row = await connection.fetchrow(f"{_SELECT} {_BY_CHECKSUM} FOR UPDATE OF a", asset.tenant_id, asset.checksum)
        if row is None:
            raise SomaError(Reason.CONFLICT, "the same bytes were erased meanwhile; send them again")
        return _asset(row)

    async def abandon(self, asset_id: str, tenant_id: str) -> None:
        """Removes a PENDING row."""
        async with self._postgres.transaction(tenant_id) as connection:
            await connection.execute(
                "DELETE FROM multimodal_assets WHERE asset_id = $1 AND status = 'pending'", asset_id
            )

    async def get(self, tenant_id: str, asset_id: str) -> Asset | None:
        """One asset that is READY or TOMBSTONED."""
        async with self._postgres.transaction(tenant_id) as connection:
            return await self._one(connection, asset_id)

    @staticmethod
    async def _one(connection: asyncpg.Connection, asset_id: str) -> Asset | None:
        row = await connection.fetchrow(f"{_SELECT} WHERE a.asset_id::text = $1 AND a.status <> 'pending'", asset_id)
        return _asset(row) if row else None

    async def by_checksum(self, tenant_id: str, checksum: str) -> Asset | None:
        """The READY asset with these bytes."""
        async with self._postgres.transaction(tenant_id) as connection:
            row = await connection.fetchrow(f"{_SELECT} {_BY_CHECKSUM}", tenant_id, checksum)
        return _asset(row) if row else None

    async def by_request(self, tenant_id: str, request_id: str) -> Asset | None:
        """The asset of an upload with this request id."""
        query = (
            f"{_SELECT} JOIN upload_requests r ON r.asset_id = a.asset_id WHERE r.tenant_id = $1 AND r.request_id = $2"
        )
        async with self._postgres.transaction(tenant_id) as connection:
            row = await connection.fetchrow(query, tenant_id, request_id)
        return _asset(row) if row else None

    async def list(self, tenant_id: str, wanted: Listing) -> Sequence[Asset]:
        """Assets, newest first."""
        async with self._postgres.transaction(tenant_id) as connection:
            rows = await connection.fetch(
                f"{_SELECT} {_LISTED}",
                tenant_id,
                wanted.asset_type,
                wanted.job_id,
                wanted.include_tombstoned,
                wanted.before or None,
                wanted.size,
            )
        return [_asset(row) for row in rows]

    async def release(self, tenant_id: str, asset_id: str, holder: str, reason: str, now: datetime) -> Asset | None:
        """Gives up one holder or all; with none left the row becomes a tombstone."""
        async with self._postgres.transaction(tenant_id) as connection:
            await connection.execute("SELECT 1 FROM multimodal_assets WHERE asset_id::text = $1 FOR UPDATE", asset_id)
            before = await self._one(connection, asset_id)
            await connection.execute(_RELEASE, asset_id, holder)
            asset = await self._one(connection, asset_id)
            if asset is None or before is None or asset.status is Status.TOMBSTONED:
                return asset
            if not asset.reference_count:
                await connection.execute(_TOMBSTONE, asset_id, now)
                asset = replace(asset, status=Status.TOMBSTONED, deleted_at=now, metadata={})
                await self._outbox.add(connection, self._facts.tombstoned(asset, reason))
            if asset != before:
                await self._audit(connection, "asset.delete", before, asset, reason)
        return asset

    async def stale(self, before: datetime) -> Sequence[Asset]:
        """What a crash left behind."""
        async with self._postgres.transaction(SYSTEM) as connection:
            rows = await connection.fetch(f"{_SELECT} {_STALE}", before)
        return [_asset(row) for row in rows]

    async def erased(self, asset_id: str, tenant_id: str) -> None:
        """Confirms that a tombstone's bytes are gone."""
        async with self._postgres.transaction(tenant_id) as connection:
            await connection.execute(
                "UPDATE multimodal_assets SET bytes_erased = true WHERE asset_id = $1 AND NOT bytes_erased", asset_id
            )


_BY_CHECKSUM = "WHERE a.tenant_id = $1 AND a.checksum = $2 AND a.status = 'ready'"
_INSERT = """
INSERT INTO multimodal_assets
    (asset_id, tenant_id, asset_type, format, media_type, filename, size_bytes, checksum, classification, storage_path,
     metadata, parent_id, replaces_id, origin, created_by, created_at, status)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 'pending')
"""
_READY = "UPDATE multimodal_assets SET status = 'ready' WHERE asset_id = $1 AND status = 'pending' RETURNING 1"
_HOLD = "INSERT INTO asset_holders (tenant_id, asset_id, holder) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING 1"
_REQUEST = "INSERT INTO upload_requests (tenant_id, request_id, asset_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
_RELEASE = "DELETE FROM asset_holders WHERE asset_id::text = $1 AND ($2 = '' OR holder = $2)"
_TOMBSTONE = """
UPDATE multimodal_assets SET status = 'tombstoned', deleted_at = $2, metadata = '{}' WHERE asset_id::text = $1
"""
_LISTED = """
WHERE a.tenant_id = $1 AND ($2 = '' OR a.asset_type = $2)
  AND ($3 = '' OR a.origin ->> 'job_id' = $3
       OR EXISTS (SELECT 1 FROM asset_holders h WHERE h.asset_id = a.asset_id AND h.holder = $3))
  AND (a.status = 'ready' OR ($4 AND a.status = 'tombstoned'))
  AND ($5::uuid IS NULL OR a.asset_id < $5)
ORDER BY a.asset_id DESC LIMIT $6
"""
_STALE = """
WHERE (a.status = 'pending' AND a.created_at < $1)
   OR (a.status = 'tombstoned' AND NOT a.bytes_erased AND a.deleted_at < $1)
ORDER BY a.created_at LIMIT 500
"""


def _state(asset: Asset) -> bytes:
    """What is kept of an asset; whether bytes were sent twice is of the request alone."""
    return canonical(replace(asset, deduplicated=False))


def _asset(row: asyncpg.Record) -> Asset:
    values = dict(row)
    values["asset_id"] = values.pop("id")
    values.pop("bytes_erased")
    return _ASSET.validate_python(values)
