"""Assets: as stored, as created by an attempt, and their provenance, which joins both with the evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - the storage adapter reads the annotations
from typing import TYPE_CHECKING

from svc_provenance.domain.model import JsonObject  # noqa: TC001 - the storage adapter reads the annotations

if TYPE_CHECKING:
    from svc_provenance.domain.model import Attempt

MAX_ANCESTORS, MAX_GENERATIONS = 1000, 50
"""Bounds of a lineage, which has the nearest ancestors."""
MAX_PARAMS_BYTES, MAX_LINEAGE_BYTES = 32 << 10, 512 << 10
"""Bounds of the parameters that are read, of one asset and of a lineage in all, in bytes of JSON as stored.

They bound what versions before 0.1.0 stored; since then it is at most 16 KiB of canonical JSON, which has no spaces.
"""


@dataclass(frozen=True)
class StoredAsset:
    """What an asset's own event says of it."""

    asset_id: str
    asset_type: str
    media_type: str
    checksum: str
    job_id: str
    step_id: str
    execution_id: str
    subject: str
    parent_ids: tuple[str, ...]
    created_at: datetime


@dataclass(frozen=True)
class AssetCreation:
    """How an attempt created its assets, redacted; `redactions` counts by kind."""

    attempt: Attempt
    job_id: str
    model: str
    subject: str
    parent_ids: tuple[str, ...]
    params: JsonObject
    prompt_summary: str
    redactions: dict[str, int]
    prompt: str = ""
    request_id: str = ""


@dataclass(frozen=True)
class Provenance:
    """How one asset came to be. Empty strings and None where it is unknown."""

    asset_id: str
    asset_type: str
    media_type: str
    checksum: str
    created_at: datetime
    job_id: str = ""
    step_id: str = ""
    execution_id: str = ""
    attempt: int = 0
    selection_id: str = ""
    capability_id: str = ""
    model: str = ""
    subject: str = ""
    params: JsonObject = field(default_factory=dict)
    prompt_summary: str = ""
    parent_ids: tuple[str, ...] = ()
    evaluation_id: str = ""
    passes: bool | None = None
    quality: float | None = None
    cost_micro_usd: int = 0
    latency_ms: int = 0
    trace_id: str = ""
    redactions: dict[str, int] = field(default_factory=dict)
    deleted_at: datetime | None = None
    prompt: str = ""
    request_id: str = ""
