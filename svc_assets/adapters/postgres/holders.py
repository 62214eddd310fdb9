"""Which holders of an asset go: those that a release names, and those of a tombstone, some at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError
from svc_assets.adapters.postgres import statements as sql
from svc_assets.domain.model import DIRECT, SUBJECT_MARK

if TYPE_CHECKING:
    from datetime import datetime

    import asyncpg

    from svc_assets.domain.model import Asset, Release

HOLDERS_AT_ONCE = 1_000
"""Holders that one transaction removes: it holds the row of their asset."""


async def given_up(connection: asyncpg.Connection, asset: Asset, release: Release) -> list[str]:
    """The holders that a release takes away."""
    if not release.job_id:
        legacy = [DIRECT] if asset.created_by == release.subject else []
        return [SUBJECT_MARK + release.subject, *legacy]
    taken_by = await connection.fetchval(sql.HOLDER_SUBJECT, asset.asset_id, release.job_id)
    if taken_by not in (None, "", release.subject) and not release.by_service:
        raise SomaError(Reason.PERMISSION_DENIED, "another subject's job holds this asset")
    return [release.job_id]


async def remove_some(connection: asyncpg.Connection, asset_id: str, now: datetime) -> None:
    """Removes holders of a tombstone, `HOLDERS_AT_ONCE` at most; those that are left are due at `now`."""
    await connection.execute(sql.REMOVE_HOLDERS, asset_id, HOLDERS_AT_ONCE)
    await connection.execute(sql.HOLDERS_LEFT, asset_id, now)
