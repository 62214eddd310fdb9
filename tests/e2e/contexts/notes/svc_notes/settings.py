"""Settings of the notes."""

from __future__ import annotations

from mesh.chassis import ChassisSettings


class Settings(ChassisSettings):
    """The chassis' settings."""
