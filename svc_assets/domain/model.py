"""The model: assets, what is declared of an upload, and what its bytes are detected to be."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - the storage adapter reads the annotations
from enum import StrEnum
from typing import TypeAlias

from pydantic import JsonValue

JsonObject: TypeAlias = dict[str, JsonValue]

LEGACY_HOLDER = "direct"
"""Holder of uploads by people in rows written before each subject had a hold of its own."""
SUBJECT_PREFIX = "@"
"""The holder of a subject starts with it, and no job id does."""


class Status(StrEnum):
    """What may be done with an asset.

    No API returns PENDING and ERASING rows. A row is written before its bytes and removed only after these are deleted:
    it is PENDING while the bytes may still arrive, and ERASING once they can no longer become an asset.
    """

    PENDING = "pending"
    READY = "ready"
    ERASING = "erasing"
    TOMBSTONED = "tombstoned"


@dataclass(frozen=True)
class Origin:
    """The session, job, step and execution that an asset comes from; each empty when there is none."""

    session_id: str = ""
    job_id: str = ""
    step_id: str = ""
    execution_id: str = ""


@dataclass(frozen=True)
class UploadMetadata:
    """What a client declares of an upload. `size_bytes` is 0 when it declares no size."""

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

    def hold(self, subject: str) -> Hold:
        """Returns the hold that the upload adds: that of the job that made the asset, else that of the subject."""
        return Hold(self.origin.job_id or SUBJECT_PREFIX + subject, subject)


@dataclass(frozen=True)
class Hold:
    """A reference that keeps the bytes from being deleted, as a legal hold does in object stores.

    `holder` is a job id, or a subject with `SUBJECT_PREFIX`; `subject` is who added the hold.
    """

    holder: str
    subject: str


@dataclass(frozen=True)
class ReleaseRequest:
    """A request to release the hold of `job_id`, else that of `subject`. `by_service`: a service acts for `subject`."""

    subject: str
    job_id: str = ""
    by_service: bool = False


@dataclass(frozen=True)
class DetectedType:
    """The media type that the bytes have, and its file extension."""

    media_type: str
    format: str


@dataclass(frozen=True)
class InspectionResult:
    """The type of the bytes. `reason` is empty when they may be stored; else it says why not, and `check` which check
    failed.
    """

    detected_type: DetectedType
    reason: str = ""
    check: str = ""


@dataclass(frozen=True)
class Asset:
    """Stored bytes with their metadata. `checksum` is SHA-256 in lower-case hex.

    `storage_path` is empty when the bytes are in the row. `dropped_fields` names what an upload declared and a
    stored asset with the same bytes does not have.
    """

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
    dropped_fields: tuple[str, ...] = ()

    @property
    def is_inline(self) -> bool:
        """Whether the bytes are in the row, not in the blob store."""
        return not self.storage_path


@dataclass(frozen=True)
class EarlierUpload:
    """What an earlier upload with the same request id stored. `is_held`: whether its hold still exists."""

    asset: Asset
    checksum: str
    holder: str
    is_held: bool


@dataclass(frozen=True)
class StoredBlob:
    """One entry of the blob store's listing. `modified_at` is by the store's clock."""

    path: str
    modified_at: datetime


@dataclass(frozen=True)
class ListQuery:
    """Which assets to list, newest first; `before_id` is the last id of the previous page.

    The assets of a job are those that it stored and those that it holds; with `only_held` only the latter.
    """

    asset_type: str = ""
    job_id: str = ""
    include_tombstoned: bool = False
    limit: int = 50
    before_id: str = ""
    only_held: bool = False
