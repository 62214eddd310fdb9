"""Settings of the asset store."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads the annotation
from typing import Annotated

from pydantic import Field

from mesh.chassis import ChassisSettings
from mesh.settings import BlobSettings, Block, Env


class AssetSettings(Block):
    """What the asset store adds."""

    max_asset_size_mb: Annotated[int, Env("SA01_MULTIMODAL_MAX_ASSET_SIZE_MB")] = Field(
        50, gt=0, le=5_000, description="largest body that is stored, in MiB"
    )
    spool_folder: Path | None = Field(
        None, description="folder for bodies on their way; none: the system's temporary folder"
    )
    reconcile_every_s: float = Field(300, gt=0, description="how often leftovers of a crash are repaired, in seconds")
    reconcile_grace_s: float = Field(900, gt=0, description="age at which an unfinished upload counts as left behind")


class Settings(ChassisSettings):
    """The chassis' settings and the asset store's."""

    blobs: BlobSettings
    assets: AssetSettings = AssetSettings()
