"""Settings of the gateway."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads the annotation
from typing import Annotated, Literal

from pydantic import Field, model_validator

from mesh.chassis import ChassisSettings
from mesh.settings import Block, Env, TemporalSettings
from mesh.settings.blocks import Address  # noqa: TC001 - pydantic reads the annotation
from svc_gateway.domain.keys import MAX_CREATED_KEYS
from svc_gateway.domain.permissions import MAX_ASSET_MIB


class GatewaySettings(Block):
    """What the gateway adds: the edge, its limits, and the first key."""

    environment: Annotated[str, Env("SA01_PROFILE")] = Field(
        "production", pattern=r"^[a-z0-9-]{1,32}$", description="name in the prefix of API keys: soma_<name>_"
    )
    edge_bind: Address = Field("127.0.0.1:8010", description="host:port of the edge, where all clients connect")
    edge_cert_file: Path = Field(description="PEM certificate chain of the edge")
    edge_key_file: Path = Field(description="PEM private key of the edge")
    xds_bind: Address = Field(
        "127.0.0.1:0", description="host:port of the control plane, which proxies read their configuration from"
    )
    access_log: str = Field("/dev/stdout", description="file on the proxy's machine for the log of requests")
    cors_origins: tuple[str, ...] = Field((), description="origins of web pages that may call; none: CORS is off")
    requests_per_second: int = Field(20_000, gt=0, description="calls per second that each proxy accepts")
    tenant_requests_per_second: int = Field(
        5_000, gt=0, description="calls per second that each proxy accepts for one tenant"
    )
    tenants_tracked: int = Field(10_000, gt=0, description="tenants whose rate a proxy counts at the same time")
    body_bytes: int = Field(4 * 1024 * 1024, gt=0, description="largest JSON body, in bytes")
    max_asset_size_mb: int = Field(
        MAX_ASSET_MIB,
        gt=0,
        description="largest upload in MiB; the edge rejects a content-length of more than 2 MiB above, the "
        "assets service what is over the limit of its type or tenant; no less than the largest of those",
    )
    unary_timeout_s: float = Field(
        30.0, gt=0, description="time limit of a call that does not stream, with its body, in seconds"
    )
    upload_longest_s: float = Field(1_800.0, gt=0, description="longest time of one upload, in seconds")
    upload_idle_s: float = Field(60.0, gt=0, description="idle timeout of an upload, in seconds")
    bootstrap_key_file: Path | None = Field(
        None, description="file that gets an API key with all roles, once; none: no key is made"
    )
    bootstrap_tenant: str = Field(
        "dev", pattern=r"^[a-z][a-z0-9-]{1,62}$", description="tenant of the bootstrap key, made when missing"
    )
    bootstrap_plan: Literal["none", "dev", "pro", "enterprise"] = Field(
        "none", description="plan of that tenant when it is made; dev counts in the profiles dev and test only"
    )
    tenant_api_keys: int = Field(
        MAX_CREATED_KEYS,
        ge=1,
        le=100_000,
        description="API keys that one tenant may make within 30 days; more are refused",
    )
    request_ids_days: int = Field(
        30, ge=1, le=3650, description="days for which a repeated request_id gets the response of the first request"
    )
    check_every_s: float = Field(2.0, gt=0, description="pause between two checks of one component, in seconds")
    check_deadline_s: float = Field(
        20.0, gt=0, description="time limit of one check, in seconds; more than the response time that is severe"
    )
    minor_response_s: float = Field(
        5.0, gt=0, description="response time from which a component is at level MINOR, in seconds"
    )
    moderate_response_s: float = Field(10.0, gt=0, description="the same for level MODERATE, in seconds")
    severe_response_s: float = Field(15.0, gt=0, description="the same for level SEVERE, in seconds")
    minor_error_rate: float = Field(
        0.1, gt=0, le=1, description="share of failed checks or calls from which a component is at level MINOR"
    )
    moderate_error_rate: float = Field(0.2, gt=0, le=1, description="the same for level MODERATE")
    circuit_failure_rate: float = Field(
        0.5,
        gt=0,
        le=1,
        description="share of a component's calls without a response, which opens circuit breakers, from which it is "
        "at level SEVERE, or CRITICAL when everything needs it",
    )
    min_calls: int = Field(
        20, gt=0, description="calls of the last minute from which on they count for the level of a component"
    )
    check_start_s: float = Field(
        15.0, ge=0, description="time that a component gets to start before failed checks count, in seconds"
    )
    level_hold_s: float = Field(10.0, ge=0, description="shortest time between two changes of a component's level")

    @model_validator(mode="after")
    def _reachable(self) -> GatewaySettings:
        if not self.minor_response_s < self.moderate_response_s < self.severe_response_s < self.check_deadline_s:
            raise ValueError(
                "minor_response_s, moderate_response_s, severe_response_s and check_deadline_s must rise in this "
                "order, else a level cannot be reached"
            )
        if self.minor_error_rate >= self.moderate_error_rate:
            raise ValueError("minor_error_rate must be less than moderate_error_rate")
        return self


class Settings(ChassisSettings):
    """The chassis' settings and the gateway's."""

    gateway: GatewaySettings
    temporal: TemporalSettings | None = None
