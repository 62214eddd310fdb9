"""Settings of the selector."""

from __future__ import annotations

from pydantic import Field, model_validator

from mesh.chassis import ChassisSettings
from mesh.settings import Block


class SelectorSettings(Block):
    """What the selector adds."""

    reservation_ttl_s: float = Field(
        900,
        ge=360,
        description=(
            "a reservation that is neither settled nor renewed lapses after this time, in seconds; 360 at least, which "
            "is a minute more than a provider may take"
        ),
    )
    expire_every_s: float = Field(5, gt=0, description="how often lapsed reservations are freed, in seconds")
    max_stale_s: float = Field(300, gt=0, description="oldest view of the registry that is chosen by, in seconds")
    permissions_max_stale_s: float = Field(
        60,
        ge=0,
        description="how long the permissions of a caller hold while the gateway cannot be asked, in seconds",
    )
    wait_for_registry_s: float = Field(
        30, ge=0, description="longest wait for the first view of the registry before serving, in seconds"
    )
    allow_force: bool = Field(
        False,
        description="honour `force` in requests, whatever the capability's health; in the profiles dev and test only",
    )
    default_monthly_budget_micro_usd: int = Field(
        10_000_000, ge=0, description="overall monthly cap of a tenant that has set none, in millionths of a US dollar"
    )


class RetentionSettings(Block):
    """For how long decisions are kept."""

    selections_days: int = Field(
        90,
        ge=1,
        le=3650,
        description="days that decisions and answers to requests are kept, and a reservation after it was closed",
    )


class Settings(ChassisSettings):
    """The chassis' settings and the selector's."""

    selector: SelectorSettings = SelectorSettings()
    retention: RetentionSettings = RetentionSettings()

    @model_validator(mode="after")
    def _force_is_for_development(self) -> Settings:
        if self.selector.allow_force and self.tls.profile == "production":
            raise ValueError("SA01_SELECTOR_ALLOW_FORCE is refused in production: it is for SA01_PROFILE=dev or test")
        return self
