"""Removal of holders: those that a request releases, and those of a tombstone in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError
from svc_assets.adapters.postgres import statements as sql
from svc_assets.domain.model import LEGACY_HOLDER, SUBJECT_PREFIX

if TYPE_CHECKING:
    from datetime import datetime

    import asyncpg

    from svc_assets.domain.model import Asset, ReleaseRequest

HOLDER_BATCH_SIZE = 1_000
"""Most holders that one transaction removes, since it locks the row of their asset."""


async def released_holders(connection: asyncpg.Connection, asset: Asset, release: ReleaseRequest) -> list[str]:
    """Returns the holders that a request releases. PERMISSION_DENIED for a job's that another subject added."""
    if not release.job_id:
        legacy = [LEGACY_HOLDER] if asset.created_by == release.subject else []
        return [SUBJECT_PREFIX + release.subject, *legacy]
    added_by = await connection.fetchval(sql.HOLDER_SUBJECT, asset.asset_id, release.job_id)
    if added_by not in (None, "", release.subject) and not release.by_service:
        raise SomaError(Reason.PERMISSION_DENIED, "another subject's job holds this asset")
    return [release.job_id]


async def remove_holder_batch(connection: asyncpg.Connection, asset_id: str, now: datetime) -> None:
    """Removes at most `HOLDER_BATCH_SIZE` holders of a tombstone; the others are due at `now`."""
    await connection.execute(sql.REMOVE_HOLDER_BATCH, asset_id, HOLDER_BATCH_SIZE)
    await connection.execute(sql.SET_HOLDERS_DUE, asset_id, now)
