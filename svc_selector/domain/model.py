"""Candidates, and requests for a selection."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias

from pydantic import JsonValue

from mesh.idempotency import NO_KEY, RequestKey

if TYPE_CHECKING:
    from mesh.json_schema import BoundedValue

JsonObject: TypeAlias = dict[str, JsonValue]
CandidateKey: TypeAlias = tuple[str, str]
"""Owner and capability id: several tenants may each have a capability with the same id."""


class Schema(Protocol):
    """A compiled JSON Schema."""

    def first_error_in(self, value: BoundedValue, /) -> str:
        """Returns the first violation in one sentence that quotes nothing of the value; "" when the value is valid.

        The value has a budget of work for all of its checks; a check that exceeds what is left of it is a violation.
        """


class Health(StrEnum):
    """Health of a candidate, as last reported by the registry."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


class Lifecycle(StrEnum):
    """Whether a candidate may be chosen."""

    ACTIVE = "active"
    DEPRECATED = "deprecated"
    DISABLED = "disabled"


class CostTier(StrEnum):
    """Cost tier of a candidate, or the highest that may be chosen; the lowest first."""

    UNSPECIFIED = ""
    FREE = "free"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    PREMIUM = "premium"


class FilterStage(StrEnum):
    """The stage at which a candidate was filtered out; `Judgement` in the contract."""

    CANDIDATES = "candidates"
    ALLOW_LISTS = "allow_lists"
    HEALTH = "health"
    POLICY = "policy"
    BUDGET = "budget"
    EXCLUDED = "excluded"


class DecisionSource(StrEnum):
    """Why the chosen capability came first."""

    LADDER = "ladder"
    PREFERENCE = "preference"
    FALLBACK = "fallback"
    FORCED = "forced"


@dataclass(frozen=True)
class Limits:
    """Hard limits of a candidate; 0 or empty: no limit."""

    formats: tuple[str, ...] = ()
    max_width_px: int = 0
    max_height_px: int = 0
    max_prompt_chars: int = 0
    context_window_tokens: int = 0
    max_duration_s: float = 0.0
    source_languages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prices:
    """Millionths of a US dollar for one unit of each kind, and in `per_million` for a million units, in addition."""

    call: int = 0
    image: int = 0
    second: int = 0
    input_token: int = 0
    output_token: int = 0
    per_million: Prices | None = None

    @property
    def is_free(self) -> bool:
        """Whether no unit has a price."""
        any_price = self.call or self.image or self.second or self.input_token or self.output_token
        return not any_price and (self.per_million is None or self.per_million.is_free)


@dataclass(frozen=True)
class UnusableReason:
    """Why a candidate can never be chosen: a part of its registration is invalid or unknown here."""

    code: str
    reason: str


@dataclass(frozen=True)
class Candidate:
    """A capability as the selector sees it.

    `owner` is the tenant that registered it, empty for the platform. `serialized` is the registry's message without
    schemas and allow-lists, as selections contain it; `serialized_schemas_and_allow_lists` has these alone.
    Concatenated they are the registry's whole message.
    """

    capability_id: str
    tool_id: str
    provider: str
    modalities: tuple[str, ...]
    task_types: tuple[str, ...]
    limits: Limits = Limits()
    prices: Prices = Prices()
    needs_egress: bool = False
    classifications: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    personas: tuple[str, ...] = ()
    capsules: tuple[str, ...] = ()
    schema: Schema | None = field(default=None, compare=False, repr=False)
    unusable: UnusableReason | None = None
    cost_tier: CostTier = CostTier.UNSPECIFIED
    lifecycle: Lifecycle = Lifecycle.ACTIVE
    health: Health = Health.UNKNOWN
    health_reason: str = ""
    circuit_open: bool = False
    version: int = 0
    serialized: bytes = field(default=b"", repr=False)
    serialized_schemas_and_allow_lists: bytes = field(default=b"", compare=False, repr=False)
    owner: str = ""

    @property
    def key(self) -> CandidateKey:
        """Unique among all candidates."""
        return self.owner, self.capability_id

    @property
    def is_private(self) -> bool:
        """Whether it is restricted to some tenants."""
        return bool(self.owner or self.tenants)


@dataclass(frozen=True)
class Requirements:
    """What a step requires; 0, empty or None: any."""

    modality: str
    task_type: str
    formats: tuple[str, ...] = ()
    width_px: int = 0
    height_px: int = 0
    prompt_chars: int = 0
    context_tokens: int = 0
    duration_s: float = 0.0
    source_language: str = ""
    params: JsonObject | None = None


@dataclass(frozen=True)
class Units:
    """Units that a call uses, or uses at most; finite and not negative."""

    calls: int = 1
    images: int = 0
    seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0

    def __post_init__(self) -> None:
        """Rejects units that cannot be priced."""
        counts = (self.calls, self.images, self.seconds, self.input_tokens, self.output_tokens)
        if not all(math.isfinite(count) and count >= 0 for count in counts):
            raise ValueError("units are finite and not negative")


@dataclass(frozen=True)
class Subject:
    """On whose behalf a selection is made.

    `key_id` is the API key of the call; `requested_classification` is the data classification of the request where it
    was raised.
    """

    tenant_id: str
    subject: str
    roles: tuple[str, ...] = ()
    persona: str = ""
    capsule: str = ""
    classification: str = "internal"
    session_id: str = ""
    job_id: str = ""
    step_id: str = ""
    attempt: int = 0
    key_id: str = ""
    requested_classification: str = ""


@dataclass(frozen=True)
class StoredParams:
    """Parameters as they are stored: redacted, or with a None value and a digest where they are too large."""

    value: JsonObject | None
    sha256: str = ""
    size_bytes: int = 0


@dataclass(frozen=True)
class SelectionRequest:
    """One request for a selection. `max_cost_micro_usd` of 0: no limit but the caps of the tenant.

    `key` is the idempotency key of the request as it was received.
    """

    requirements: Requirements
    units: Units = Units()
    preferred_provider: str = ""
    preferred_tool: str = ""
    exclude: tuple[str, ...] = ()
    fallback_reason: str = ""
    force: str = ""
    max_cost_micro_usd: int = 0
    dry_run: bool = False
    key: RequestKey = NO_KEY
    stored_params: StoredParams | None = None
    max_cost_tier: CostTier = CostTier.UNSPECIFIED


@dataclass(frozen=True)
class Ladder:
    """Capabilities in order of preference; version 0 when there is no ladder."""

    capability_ids: tuple[str, ...] = ()
    version: int = 0
