"""Conversion between assets and their rows."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING
from uuid import UUID

from pydantic import TypeAdapter

from mesh.events.audit import canonical
from svc_assets.domain.model import Asset

if TYPE_CHECKING:
    import asyncpg

    from svc_assets.domain.model import Status

_ASSET: TypeAdapter[Asset] = TypeAdapter(Asset)


def row_values(asset: Asset, status: Status) -> tuple[object, ...]:
    """Returns the first arguments of the statements that insert a row."""
    return (
        asset.asset_id, asset.tenant_id, asset.asset_type, asset.format, asset.media_type, asset.filename,
        asset.size_bytes, asset.checksum, asset.classification, asset.storage_path, asset.metadata, asset.parent_id,
        asset.replaces_id, asdict(asset.origin), asset.origin.job_id, asset.created_by, asset.created_at, status,
    )  # fmt: skip


def asset_from_row(row: asyncpg.Record) -> Asset:
    """Returns the asset of a row."""
    return _ASSET.validate_python(dict(row))


def parse_uuid(asset_id: str) -> UUID | None:
    """Returns the id as a UUID; None for text that is no UUID, and so the id of no asset."""
    try:
        return UUID(asset_id)
    except ValueError:
        return None


def audit_state(asset: Asset) -> bytes:
    """Returns the state of an asset for an audit entry, without `deduplicated`, which describes only the request."""
    return canonical(replace(asset, deduplicated=False))
