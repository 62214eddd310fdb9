"""Settings of the registry."""

from __future__ import annotations

from pydantic import Field

from mesh.chassis import ChassisSettings
from mesh.settings import Block


class RegistrySettings(Block):
    """What the registry adds."""

    health_fresh_s: float = Field(
        300.0,
        gt=0,
        description="age of a capability's last probe from which it does not show that any provider is well",
    )
    capabilities_per_tenant: int = Field(200, ge=0, le=10_000, description="most private capabilities of one tenant")
    ladders_per_tenant: int = Field(200, ge=0, le=10_000, description="most ladders of one tenant's own")


class RetentionSettings(Block):
    """For how long records are kept."""

    records_days: int = Field(
        30,
        ge=1,
        le=3650,
        description="days that a tenant's deleted capability and the id of a request that changed something are kept",
    )


class Settings(ChassisSettings):
    """The chassis' settings and the registry's."""

    registry: RegistrySettings = RegistrySettings()
    retention: RetentionSettings = RetentionSettings()
