"""The model: assets, what is declared of an upload, and what its bytes turned out to be."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - the storage adapter reads the annotations
from enum import StrEnum
from typing import TypeAlias

from pydantic import JsonValue

JsonObject: TypeAlias = dict[str, JsonValue]

DIRECT = "direct"
"""Holder of what people uploaded before their holds were told apart."""
SUBJECT_MARK = "@"
"""Begins the holder of a subject; no job id begins with it."""


class Status(StrEnum):
    """What may be done with an asset.

    PENDING and ERASING rows are shown to nobody. A row exists before its bytes and goes only after they are deleted:
    PENDING while the bytes may still arrive, ERASING once they never can become an asset.
    """

    PENDING = "pending"
    READY = "ready"
    ERASING = "erasing"
    TOMBSTONED = "tombstoned"


@dataclass(frozen=True)
class Origin:
    """Where an asset came from; empty strings where it did not."""

    session_id: str = ""
    job_id: str = ""
    step_id: str = ""
    execution_id: str = ""


@dataclass(frozen=True)
class UploadMetadata:
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

    def hold(self, subject: str) -> Hold:
        """Who holds the stored asset: the job that made it, else the subject that uploads it."""
        return Hold(self.origin.job_id or SUBJECT_MARK + subject, subject)


@dataclass(frozen=True)
class Hold:
    """A reason to keep the bytes. `holder` is a job or a marked subject, `subject` who took the hold."""

    holder: str
    subject: str


@dataclass(frozen=True)
class Release:
    """Who gives up a hold: the subject its own, or that of `job_id`. `by_service`: a service acts for the subject."""

    subject: str
    job_id: str = ""
    by_service: bool = False


@dataclass(frozen=True)
class DetectedType:
    """What the bytes are: media type, and the file ending that goes with it."""

    media_type: str
    format: str


@dataclass(frozen=True)
class InspectionResult:
    """What the bytes are. `why` is empty when they may be stored, else `check` names what found the reason."""

    kind: DetectedType
    why: str = ""
    check: str = ""


@dataclass(frozen=True)
class Asset:
    """Stored bytes with their metadata. `checksum` is SHA-256 in lower-case hex.

    `storage_path` is empty when the bytes are in the row. `dropped_fields` names what an upload said of itself that the
    asset, being there already, does not say.
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
    """What an upload under the same request id stored. `is_held` tells whether its hold is still there."""

    asset: Asset
    checksum: str
    holder: str
    is_held: bool


@dataclass(frozen=True)
class StoredBlob:
    """One entry of the blob store's listing. `modified` is by the store's clock."""

    path: str
    modified: datetime


@dataclass(frozen=True)
class Listing:
    """Which assets to list, newest first; `before` is the last id of the page before.

    Those of a job are what it stored and what it holds; with `only_held` only the latter.
    """

    asset_type: str = ""
    job_id: str = ""
    include_tombstoned: bool = False
    size: int = 50
    before: str = ""
    only_held: bool = False
