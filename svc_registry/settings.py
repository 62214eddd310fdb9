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


class Settings(ChassisSettings):
    """The chassis' settings and the registry's."""

    registry: RegistrySettings = RegistrySettings()
