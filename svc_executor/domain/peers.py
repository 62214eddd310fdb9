"""What the executor needs of its peers: the selector, the assets, the critic, the registry."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from soma_providers.port import CapabilityKey, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from soma_providers.port import Artefact, Feedback, JsonValue
    from svc_executor.domain.job import SelectedCapability


@dataclass(frozen=True)
class SelectionRequest:
    """What a step asks of the selector. `max_cost_micro_usd` is 0 and `max_cost_tier` empty without a cap.

    `units` are what the call consumes at most.
    """

    job_id: str
    step_id: str
    attempt: int
    request_id: str
    modality: str
    task_type: str
    formats: tuple[str, ...] = ()
    width_px: int = 0
    height_px: int = 0
    prompt_chars: int = 0
    duration_s: float = 0.0
    units: Usage = field(default_factory=Usage)
    context_tokens: int = 0
    source_language: str = ""
    params: Mapping[str, JsonValue] = field(default_factory=dict)
    preferred_provider: str = ""
    preferred_tool: str = ""
    exclude: tuple[str, ...] = ()
    fallback_reason: str = ""
    max_cost_micro_usd: int = 0
    session_id: str = ""
    data_classification: str = ""
    persona: str = ""
    capsule: str = ""
    max_cost_tier: str = ""


@dataclass(frozen=True)
class Selection:
    """What the selector answered; `reservation_id` is empty for free calls."""

    selection_id: str
    capability: SelectedCapability
    reason: str = ""
    reservation_id: str = ""
    reserved_micro_usd: int = 0


@dataclass(frozen=True)
class Upload:
    """An artefact to store, and where it comes from."""

    artefact: Artefact
    request_id: str
    job_id: str
    step_id: str
    execution_id: str
    session_id: str = ""
    classification: str = ""


@dataclass(frozen=True)
class AssetInfo:
    """A readable asset without its bytes."""

    asset_id: str
    media_type: str
    filename: str
    size_bytes: int


@dataclass(frozen=True)
class Evaluation:
    """An evaluation by the critic; `score` is in [0, 1]."""

    evaluation_id: str
    passes: bool
    score: float
    feedback: tuple[Feedback, ...] = ()


@dataclass(frozen=True)
class EvaluationRequest:
    """A result to evaluate. `rubric` is an id or a rubric; empty: the default for the asset's type."""

    asset_id: str
    request_id: str
    job_id: str
    step_id: str
    execution_id: str
    tool_id: str
    request: str = ""
    expected_labels: tuple[str, ...] = ()
    rubric: str | Mapping[str, JsonValue] = ""
    min_width_px: int = 0


class HealthState(StrEnum):
    """How a capability fares; UNKNOWN where nobody asked."""

    UNKNOWN = "UNKNOWN"
    HEALTHY = "HEALTHY"
    DEGRADED = "DEGRADED"
    UNHEALTHY = "UNHEALTHY"


@dataclass(frozen=True)
class HealthReport:
    """What the executor saw of a capability; `reason` is empty when healthy.

    `owner_tenant_id` names the tenant of a private capability; empty: the platform's.
    """

    capability_id: str
    state: HealthState
    reason: str = ""
    circuit_open: bool = False
    owner_tenant_id: str = ""


@dataclass(frozen=True)
class RegisteredCapability:
    """A capability as it is registered.

    `endpoint` is the base address where it is not its provider's own. `circuit_open` and `state` are what was last
    reported, by whichever process, at `checked_at` (None: never). `owner_tenant_id` names the tenant of a private
    capability.
    """

    capability_id: str
    endpoint: str = ""
    circuit_open: bool = False
    checked_at: datetime | None = None
    owner_tenant_id: str = ""
    state: HealthState = HealthState.UNKNOWN

    @property
    def key(self) -> CapabilityKey:
        """What tells it from all others."""
        return CapabilityKey(self.capability_id, self.owner_tenant_id)
