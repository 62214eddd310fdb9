"""Settings of the selector."""

from __future__ import annotations

from pydantic import Field, model_validator

from mesh.chassis import ChassisSettings
from mesh.settings import Block


class SelectorSettings(Block):
    """Options of the selector."""

    reservation_ttl_s: float = Field(
        900,
        ge=360,
        description=(
            "a reservation that is neither settled nor renewed expires after this time, in seconds; 360 at least, "
            "which is a minute more than a provider may take"
        ),
    )
    expire_every_s: float = Field(5, gt=0, description="how often expired reservations are freed, in seconds")
    max_stale_s: float = Field(
        300, gt=0, description="for how long selections are made after the stream of the registry ended, in seconds"
    )
    permissions_max_stale_s: float = Field(
        60,
        ge=0,
        description="for how long cached permissions of a caller are used while the gateway is unavailable, in seconds",
    )
    wait_for_registry_s: float = Field(
        30, ge=0, description="longest wait for the first snapshot of the registry before serving, in seconds"
    )
    allow_force: bool = Field(
        False,
        description="honour `force` in requests, whatever the capability's health; in the profiles dev and test only",
    )
    default_monthly_budget_micro_usd: int = Field(
        10_000_000, ge=0, description="overall monthly cap of a tenant that has set none, in millionths of a US dollar"
    )


class RetentionSettings(Block):
    """Retention of decisions."""

    selections_days: int = Field(
        90,
        ge=1,
        le=3650,
        description="days that decisions and answers to requests are stored, and a reservation after it was closed",
    )


class Settings(ChassisSettings):
    """Settings of the chassis and of the selector."""

    selector: SelectorSettings = SelectorSettings()
    retention: RetentionSettings = RetentionSettings()

    @model_validator(mode="after")
    def _reject_force_in_production(self) -> Settings:
        if self.selector.allow_force and self.tls.profile == "production":
            raise ValueError("SA01_SELECTOR_ALLOW_FORCE is refused in production: it is for SA01_PROFILE=dev or test")
        return self
