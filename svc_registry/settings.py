"""Settings of the registry."""

from __future__ import annotations

from mesh.chassis import ChassisSettings


class Settings(ChassisSettings):
    """The chassis' own; the registry adds none."""
