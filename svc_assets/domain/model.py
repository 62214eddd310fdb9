"""The model: assets, what is declared of an upload, and what its bytes turned out to be."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - the storage adapter reads the annotations
from enum import StrEnum
from typing import TypeAlias

from pydantic import JsonValue

JsonObject: TypeAlias = dict[str, JsonValue]

DIRECT = "direct"
"""Holder of what a person uploaded; other holders are jobs."""


class Status(StrEnum):
    """What may be done with an asset."""

    PENDING = "pending"
    READY = "ready"
    TOMBSTONED = "tombstoned"


@dataclass(frozen=True)
class Origin:
    """Where an asset came from; empty strings where it did not."""

    session_id: str = ""
    job_id: str = ""
    step_id: str = ""
    execution_id: str = ""


@dataclass(frozen=True)
class Declared:
    """What an upload says of itself. `size_bytes` of 0 is unknown."""

    filename: str = ""
    media_type: str = ""
    asset_type: str = ""
    classification: str = "internal"
    parent_id: str = ""
    replaces_id: str = ""
    origin: Origin = Origin()
    metadata: JsonObject = field(default_factory=dict)
    request_id: str = ""
    size_bytes: int = 0

    @property
    def holder(self) -> str:
        """Who holds the stored asset: the job that made it, or people."""
        return self.origin.job_id or DIRECT


@dataclass(frozen=True)
class Sniffed:
    """What the bytes are: media type, and the file ending that goes with it."""

    media_type: str
    format: str


@dataclass(frozen=True)
class Asset:
    """Stored bytes with their metadata. `checksum` is SHA-256 in lower-case hex."""

    asset_id: str
    tenant_id: str
    asset_type: str
    format: str
    media_type: str
    filename: str
    size_bytes: int
    checksum: str
    classification: str
    status: Status
    storage_path: str
    created_by: str
    created_at: datetime
    metadata: JsonObject = field(default_factory=dict)
    parent_id: str = ""
    replaces_id: str = ""
    origin: Origin = Origin()
    deleted_at: datetime | None = None
    reference_count: int = 1
    deduplicated: bool = False


@dataclass(frozen=True)
class Listing:
    """Which assets to list, newest first; `before` is the last id of the page before."""

    asset_type: str = ""
    job_id: str = ""
    include_tombstoned: bool = False
    size: int = 50
    before: str = ""
