"""The model of the registry: capabilities, their health, ladders, and who asks for them."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - the storage adapter reads the annotations
from dataclasses import dataclass, field, replace
from datetime import datetime  # noqa: TC003 - the storage adapter reads the annotations
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from pydantic import JsonValue

JsonObject: TypeAlias = dict[str, JsonValue]

PLATFORM = ""
"""The tenant id of what the platform owns."""


class CapabilityKey(NamedTuple):
    """The identity of a capability. Keys are ordered by id, then by owner: the platform's comes first."""

    capability_id: str
    tenant_id: str = PLATFORM


class Modality(StrEnum):
    """The kind of content that a capability consumes or produces."""

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
    """Whether a capability is a model or a tool."""

    MODEL = "model"
    TOOL = "tool"


class CostTier(StrEnum):
    """The price class of a capability; UNSPECIFIED when its owner set none."""

    UNSPECIFIED = "unspecified"
    FREE = "free"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    PREMIUM = "premium"


class PriceUnit(StrEnum):
    """The unit that a price is for."""

    CALL = "call"
    IMAGE = "image"
    SECOND = "second"
    INPUT_TOKEN = "input_token"  # noqa: S105
    OUTPUT_TOKEN = "output_token"  # noqa: S105


class Lifecycle(StrEnum):
    """Whether a capability may be selected."""

    ACTIVE = "active"
    DEPRECATED = "deprecated"
    DISABLED = "disabled"


class HealthState(StrEnum):
    """The state of a capability as its reports say."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True)
class Price:
    """The price of one unit, and that of a million units which is added to it, in millionths of a US dollar."""

    unit: PriceUnit
    micro_usd: int
    micro_usd_per_million: int = 0


@dataclass(frozen=True)
class PriceList:
    """The prices of a capability; without any it is free."""

    version: str = ""
    effective_at: datetime | None = None
    prices: tuple[Price, ...] = ()


@dataclass(frozen=True)
class Constraints:
    """The limits of a capability; zero or empty means unlimited."""

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
    """The callers that may use a capability; an empty list allows all."""

    tenants: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    personas: tuple[str, ...] = ()
    capsules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Resources:
    """The resources that one call needs."""

    cpu_millis: int = 0
    memory_mib: int = 0
    gpus: int = 0


@dataclass(frozen=True)
class AssetDefaults:
    """The type and format of an output whose content does not tell them."""

    asset_type: str = ""
    format: str = ""


@dataclass(frozen=True)
class Health:
    """Health as of the last report; `failure_count` counts failures in a row, `version` the changes of health.

    `open_circuits` are the reporters whose circuit is open, each with the time at which its report expires unless it is
    repeated. While there is one, `checked_at` is the time of the last report of an open circuit.
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

    `version` counts the changes of its definition, `health.version` those of its health.
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
        """The key of the capability."""
        return CapabilityKey(self.capability_id, self.tenant_id)

    @property
    def capability_id(self) -> str:
        """`<tool_id>@<provider>`."""
        return f"{self.tool_id}@{self.provider}"

    def visible_to(self, tenant_id: str) -> bool:
        """Whether the tenant may read the capability."""
        if self.tenant_id:
            return self.tenant_id == tenant_id
        return not self.allow.tenants or tenant_id in self.allow.tenants

    def redacted_for(self, requester: Requester) -> Capability:
        """Returns the capability as a requester may read it: a tenant finds no other tenant in the allow-list."""
        if requester.is_platform:
            return self
        own = tuple(tenant for tenant in self.allow.tenants if tenant == requester.tenant_id)
        return replace(self, allow=replace(self.allow, tenants=own))

    def supersedes(self, other: Capability) -> bool:
        """Whether this is a later state of the stored capability than `other`.

        Both versions only grow; those of a capability that was purged and registered again start anew.
        """
        if self.created_at and other.created_at and self.created_at != other.created_at:
            return self.created_at > other.created_at
        versions, other_versions = (self.version, self.health.version), (other.version, other.health.version)
        return versions != other_versions and all(a >= b for a, b in zip(versions, other_versions, strict=True))

    def same_definition(self, other: Capability) -> bool:
        """Whether both are equal, apart from health, version, and the times of creation and update."""
        return self._definition() == other._definition()

    def _definition(self) -> Capability:
        return replace(self, health=Health(), version=0, created_at=None, updated_at=None)


@dataclass(frozen=True, order=True)
class LadderKey:
    """The modality and the task type that a ladder is for."""

    modality: Modality
    task_type: str

    @property
    def name(self) -> str:
        """`<modality>/<task_type>`."""
        return f"{self.modality}/{self.task_type}"


@dataclass(frozen=True)
class Ladder:
    """Capability ids in order of preference; `tenant_id` is the owner, PLATFORM or a tenant."""

    key: LadderKey
    capability_ids: tuple[str, ...]
    tenant_id: str = PLATFORM
    version: int = 0
    updated_by: str = ""
    updated_at: datetime | None = None


@dataclass(frozen=True)
class Requester:
    """The caller of a use case. `is_platform` is true for the platform's administrators and for services.

    `is_service` is true for services alone: they register their own capabilities at every start, which must not undo
    what an operator changed.
    """

    tenant_id: str
    subject: str
    is_platform: bool = False
    is_service: bool = False
