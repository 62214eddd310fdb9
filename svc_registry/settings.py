"""Settings of the registry."""

from __future__ import annotations

from pydantic import Field

from mesh.chassis import ChassisSettings
from mesh.settings import Block


class RegistrySettings(Block):
    """The settings of the registry itself."""

    health_fresh_s: float = Field(
        300.0,
        gt=0,
        description="seconds for which the last check of a capability shows that a provider is available",
    )
    capabilities_per_tenant: int = Field(200, ge=0, le=10_000, description="most private capabilities of one tenant")
    ladders_per_tenant: int = Field(200, ge=0, le=10_000, description="most ladders that one tenant owns")


class RetentionSettings(Block):
    """The retention periods of the registry."""

    records_days: int = Field(
        30,
        ge=1,
        le=3650,
        description="days that a tenant's deleted capability and the id of a request that changed something are kept",
    )


class Settings(ChassisSettings):
    """All settings of the registry's process."""

    registry: RegistrySettings = RegistrySettings()
    retention: RetentionSettings = RetentionSettings()
