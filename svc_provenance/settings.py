"""Settings of the record."""

from __future__ import annotations

from mesh.chassis import ChassisSettings


class Settings(ChassisSettings):
    """The chassis' own; the record adds none."""
