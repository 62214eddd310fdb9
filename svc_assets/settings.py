"""Settings of the asset store."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads the annotation
from typing import Annotated

from pydantic import Field, model_validator

from mesh.chassis import ChassisSettings
from mesh.settings import BlobSettings, Block, Env
from svc_assets.domain.limits import MediaKind, SizeLimits

KIB = 1024
MIB = 1024 * 1024


class AssetSettings(Block):
    """Settings of the asset store alone."""

    max_asset_size_mb: Annotated[int, Env("SA01_MULTIMODAL_MAX_ASSET_SIZE_MB")] = Field(
        50,
        gt=0,
        le=5_000,
        description="largest body that is stored, in MiB, where neither its type nor the tenant has a limit",
    )
    max_image_mb: int = Field(0, ge=0, le=5_000, description="largest image, in MiB; 0: max_asset_size_mb")
    max_audio_mb: int = Field(0, ge=0, le=5_000, description="largest sound, in MiB; 0: max_asset_size_mb")
    max_video_mb: int = Field(0, ge=0, le=5_000, description="largest video, in MiB; 0: max_asset_size_mb")
    max_document_mb: int = Field(
        0, ge=0, le=5_000, description="largest PDF or office document, in MiB; 0: max_asset_size_mb"
    )
    max_text_mb: int = Field(0, ge=0, le=5_000, description="largest text, JSON or XML, in MiB; 0: max_asset_size_mb")
    max_other_mb: int = Field(
        0, ge=0, le=5_000, description="largest body of another type, in MiB; 0: max_asset_size_mb"
    )
    spool_folder: Path | None = Field(
        None, description="folder for bodies on their way; none: the system's temporary folder"
    )
    inline_max_kib: int = Field(
        64,
        ge=0,
        le=1024,
        description="largest body that is stored in its row, in KiB; larger ones go to the blob store",
    )
    reconcile_every_s: float = Field(
        300, gt=0, description="how often leftovers of crashes and of erasures are removed, in seconds"
    )
    upload_deadline_s: float = Field(600, gt=0, description="longest time that an upload may take, in seconds")
    reconcile_grace_s: float = Field(
        900, gt=0, description="age at which an unfinished upload counts as left behind; longer than the deadline"
    )
    listing_every_s: float = Field(
        86_400, gt=0, description="how often the blob store is listed for blobs of no asset, in seconds"
    )
    orphan_grace_s: float = Field(
        86_400, gt=0, description="age at which a blob of no asset is deleted, in seconds; longer than the deadline"
    )
    read_audit_every_s: float = Field(5, gt=0, description="how often reads are written to the audit chain, in seconds")
    requests_days: int = Field(30, gt=0, description="days for which the request ids of uploads are remembered")
    tombstones_days: int = Field(400, gt=0, description="days for which the record of an erased asset is kept")

    @property
    def sizes(self) -> SizeLimits:
        """The size limits of bodies in bytes."""
        by_kind = {kind: getattr(self, f"max_{kind}_mb") * MIB for kind in MediaKind}
        return SizeLimits(self.max_asset_size_mb * MIB, {kind: limit for kind, limit in by_kind.items() if limit})

    @model_validator(mode="after")
    def _deadline_before_grace(self) -> AssetSettings:
        if self.upload_deadline_s >= min(self.reconcile_grace_s, self.orphan_grace_s):
            raise ValueError("upload_deadline_s must be less than reconcile_grace_s and orphan_grace_s")
        return self


class Settings(ChassisSettings):
    """The settings of the process: those of the chassis and those of the asset store."""

    blobs: BlobSettings
    assets: AssetSettings = AssetSettings()
