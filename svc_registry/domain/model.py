"""The model: what a capability is, and the order policy prefers them in."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - the storage adapter reads the annotations
from dataclasses import dataclass, field, replace
from datetime import datetime  # noqa: TC003 - the storage adapter reads the annotations
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from pydantic import JsonValue

JsonObject: TypeAlias = dict[str, JsonValue]

PLATFORM = ""
"""Owner of what belongs to nobody in particular."""


class CapabilityKey(NamedTuple):
    """What a capability is told by. Keys are ordered by id, then by owner: the platform's comes first."""

    capability_id: str
    tenant_id: str = PLATFORM


class Modality(StrEnum):
    """What a capability consumes or makes."""

    TEXT = "text"
    VISION = "vision"
    IMAGE = "image"
    DIAGRAM = "diagram"
    SCREENSHOT = "screenshot"
    AUDIO_STT = "audio_stt"
    AUDIO_TTS = "audio_tts"
    VIDEO = "video"
    DOCUMENT = "document"
    TOOL = "tool"


class Kind(StrEnum):
    """Model or tool."""

    MODEL = "model"
    TOOL = "tool"


class CostTier(StrEnum):
    """Rough price class; UNSPECIFIED when its owner gave none."""

    UNSPECIFIED = "unspecified"
    FREE = "free"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    PREMIUM = "premium"


class PriceUnit(StrEnum):
    """What a price is counted in."""

    CALL = "call"
    IMAGE = "image"
    SECOND = "second"
    INPUT_TOKEN = "input_token"  # noqa: S105
    OUTPUT_TOKEN = "output_token"  # noqa: S105


class Lifecycle(StrEnum):
    """Whether a capability may be chosen at all."""

    ACTIVE = "active"
    DEPRECATED = "deprecated"
    DISABLED = "disabled"


class HealthState(StrEnum):
    """How a capability answers."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True)
class Price:
    """Price of one unit in millionths of a US dollar, and what comes on top for a million of them."""

    unit: PriceUnit
    micro_usd: int
    micro_usd_per_million: int = 0


@dataclass(frozen=True)
class PriceList:
    """A dated price list; no prices means free."""

    version: str = ""
    effective_at: datetime | None = None
    prices: tuple[Price, ...] = ()


@dataclass(frozen=True)
class Constraints:
    """Hard limits; zero or empty means none."""

    formats: tuple[str, ...] = ()
    max_width_px: int = 0
    max_height_px: int = 0
    max_prompt_chars: int = 0
    context_window_tokens: int = 0
    max_duration_s: float = 0.0
    needs_egress: bool = False
    source_languages: tuple[str, ...] = ()


@dataclass(frozen=True)
class AllowLists:
    """Who may use a capability; an empty list allows everybody."""

    tenants: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    personas: tuple[str, ...] = ()
    capsules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Resources:
    """What one running invocation needs."""

    cpu_millis: int = 0
    memory_mib: int = 0
    gpus: int = 0


@dataclass(frozen=True)
class AssetDefaults:
    """What an output is when its content does not say."""

    asset_type: str = ""
    format: str = ""


@dataclass(frozen=True)
class Health:
    """Health as last seen; `failure_count` counts failures in a row, `version` the changes of health.

    `open_circuits` are the reporters whose circuit is open, each with the moment until which that holds unless it is
    confirmed. While there is one, `checked_at` is of the last report of an open circuit.
    """

    state: HealthState = HealthState.UNKNOWN
    failure_count: int = 0
    checked_at: datetime | None = None
    reason: str = ""
    circuit_open: bool = False
    version: int = 0
    open_circuits: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True)
class Capability:
    """One model or tool of one provider: the platform's, or the private one of the tenant `tenant_id`.

    `version` counts the changes of what its owner says of it, `health.version` those of its health.
    """

    tool_id: str
    provider: str
    kind: Kind
    modalities: tuple[Modality, ...]
    task_types: tuple[str, ...]
    adapter: str = ""
    display_name: str = ""
    description: str = ""
    input_schema: JsonObject = field(default_factory=dict)
    output_schema: JsonObject = field(default_factory=dict)
    constraints: Constraints = Constraints()
    cost_tier: CostTier = CostTier.UNSPECIFIED
    price_list: PriceList = PriceList()
    expected_latency_ms: float = 0.0
    resources: Resources = Resources()
    data_classifications: tuple[str, ...] = ()
    allow: AllowLists = AllowLists()
    default_parameters: JsonObject = field(default_factory=dict)
    asset_defaults: AssetDefaults = AssetDefaults()
    tags: tuple[str, ...] = ()
    model: str = ""
    endpoint: str = ""
    credential_path: str = ""
    license: str = ""
    lifecycle: Lifecycle = Lifecycle.ACTIVE
    health: Health = Health()
    version: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    tenant_id: str = PLATFORM
    deleted_at: datetime | None = None

    @property
    def key(self) -> CapabilityKey:
        """What it is told by."""
        return CapabilityKey(self.capability_id, self.tenant_id)

    @property
    def capability_id(self) -> str:
        """`<tool_id>@<provider>`."""
        return f"{self.tool_id}@{self.provider}"

    def visible_to(self, tenant_id: str) -> bool:
        """True when the tenant may know of it."""
        if self.tenant_id:
            return self.tenant_id == tenant_id
        return not self.allow.tenants or tenant_id in self.allow.tenants

    def shown_to(self, actor: Actor) -> Capability:
        """What an actor is shown of it: tenants learn of no other tenant's name from the allow-list."""
        if actor.platform:
            return self
        own = tuple(tenant for tenant in self.allow.tenants if tenant == actor.tenant_id)
        return replace(self, allow=replace(self.allow, tenants=own))

    def supersedes(self, other: Capability) -> bool:
        """True when it was read from the store after `other`, and differs from it.

        The two versions only grow; a capability that was purged and registered again begins with new ones.
        """
        if self.created_at and other.created_at and self.created_at != other.created_at:
            return self.created_at > other.created_at
        mine, theirs = (self.version, self.health.version), (other.version, other.health.version)
        return mine != theirs and mine[0] >= theirs[0] and mine[1] >= theirs[1]

    def same_definition(self, other: Capability) -> bool:
        """True when both say the same and are there, leaving out health, version and times."""
        return self._definition() == other._definition()

    def _definition(self) -> Capability:
        return replace(self, health=Health(), version=0, created_at=None, updated_at=None)


@dataclass(frozen=True, order=True)
class LadderKey:
    """What a ladder is for."""

    modality: Modality
    task_type: str

    @property
    def name(self) -> str:
        """Modality and task type, as one text."""
        return f"{self.modality}/{self.task_type}"


@dataclass(frozen=True)
class Ladder:
    """Capability ids in order of preference; `tenant_id` is PLATFORM for the platform's own."""

    key: LadderKey
    capability_ids: tuple[str, ...]
    tenant_id: str = PLATFORM
    version: int = 0
    updated_by: str = ""
    updated_at: datetime | None = None


@dataclass(frozen=True)
class Actor:
    """Who changes something. `platform` is true for the platform's administrators and for services, `service` for
    the latter alone: they register what they ship with, and what an operator decided about it holds.
    """

    tenant_id: str
    subject: str
    platform: bool = False
    service: bool = False
