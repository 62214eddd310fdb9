"""Settings of the critic."""

from __future__ import annotations

from pydantic import Field

from mesh.chassis import ChassisSettings
from mesh.settings import Block


class CriticSettings(Block):
    """Settings of the critic alone."""

    workers: int = Field(
        4, ge=1, le=64, description="assets measured at once, each in a child process; half of them for heavy use"
    )
    worker_idle_s: float = Field(
        300.0, gt=0, description="time without use after which a measuring process ends, in seconds"
    )
    measure_cpu_s: float = Field(20.0, ge=1, description="most processor time to measure one asset, in seconds")
    measure_time_s: float = Field(90.0, ge=1, description="most elapsed time to measure one asset, in seconds")
    measure_memory_mb: int = Field(1_024, ge=256, description="most memory of a measuring process, in MiB")
    max_asset_mb: int = Field(50, ge=1, description="largest asset that is evaluated, in MiB")


class RetentionSettings(Block):
    """How long evaluations are retained."""

    evaluations_days: int = Field(90, ge=1, le=3650, description="days for which an evaluation is retained")


class Settings(ChassisSettings):
    """The settings of the process: those of the chassis and those of the critic."""

    critic: CriticSettings = CriticSettings()
    retention: RetentionSettings = RetentionSettings()
