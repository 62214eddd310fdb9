"""The model: candidates, needs and what they cost."""

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
"""Owner and capability id: several tenants may each have a capability of one id."""


class Schema(Protocol):
    """A JSON Schema ready to check parameters."""

    def first_error_in(self, bounded: BoundedValue, /) -> str:
        """What does not fit, in one sentence that quotes nothing of the value; "" when all fits.

        The work is taken from what is left for all checks of the value; where that does not suffice, it does not fit.
        """


class Health(StrEnum):
    """Health of a candidate, as the registry last said."""

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
    """Price class of a candidate, or the highest that may be chosen; the lowest first."""

    UNSPECIFIED = ""
    FREE = "free"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    PREMIUM = "premium"


class Judgement(StrEnum):
    """Which judgement left a candidate out."""

    CANDIDATES = "candidates"
    ALLOW_LISTS = "allow_lists"
    HEALTH = "health"
    POLICY = "policy"
    BUDGET = "budget"
    EXCLUDED = "excluded"


class Source(StrEnum):
    """How a choice came about."""

    LADDER = "ladder"
    PREFERENCE = "preference"
    FALLBACK = "fallback"
    FORCED = "forced"


@dataclass(frozen=True)
class Limits:
    """Hard limits of a candidate; zero or empty means none."""

    formats: tuple[str, ...] = ()
    max_width_px: int = 0
    max_height_px: int = 0
    max_prompt_chars: int = 0
    context_window_tokens: int = 0
    max_duration_s: float = 0.0
    source_languages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prices:
    """Millionths of a US dollar for one unit of each kind; `per_million`: for a million of them, on top."""

    call: int = 0
    image: int = 0
    second: int = 0
    input_token: int = 0
    output_token: int = 0
    per_million: Prices | None = None

    @property
    def free(self) -> bool:
        """Whether no unit has a price."""
        whole = self.call or self.image or self.second or self.input_token or self.output_token
        return not whole and (self.per_million is None or self.per_million.free)


@dataclass(frozen=True)
class Unusable:
    """Why a candidate is never chosen as it is: what the registry says of it cannot be used."""

    code: str
    reason: str


@dataclass(frozen=True)
class Candidate:
    """A capability as the selector sees it.

    `owner` is the tenant whose own it is, empty for the platform's. `document` is the registry's message without its
    schemas and allow-lists, handed on unread; `omitted` is a message with these alone. Joined they are the whole one.
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
    unusable: Unusable | None = None
    cost_tier: CostTier = CostTier.UNSPECIFIED
    lifecycle: Lifecycle = Lifecycle.ACTIVE
    health: Health = Health.UNKNOWN
    health_reason: str = ""
    circuit_open: bool = False
    version: int = 0
    document: bytes = field(default=b"", repr=False)
    omitted: bytes = field(default=b"", compare=False, repr=False)
    owner: str = ""

    @property
    def key(self) -> CandidateKey:
        """What tells it from every other candidate."""
        return self.owner, self.capability_id

    @property
    def is_private(self) -> bool:
        """Whether it is not for every tenant."""
        return bool(self.owner or self.tenants)


@dataclass(frozen=True)
class Requirements:
    """What a step needs; zero, empty or None means any."""

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
    """Units a call will consume at most, none of them negative and all finite."""

    calls: int = 1
    images: int = 0
    seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0

    def __post_init__(self) -> None:
        """Refuses what cannot be priced."""
        counts = (self.calls, self.images, self.seconds, self.input_tokens, self.output_tokens)
        if not all(math.isfinite(count) and count >= 0 for count in counts):
            raise ValueError("units are finite and not negative")


@dataclass(frozen=True)
class Subject:
    """On whose behalf a choice is made.

    `key_id` is the API key behind the call, `requested_classification` what the request gave where it was raised.
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
    """What is kept of parameters: redacted, or where they are too long their digest and their size in bytes."""

    value: JsonObject | None
    sha256: str = ""
    size_bytes: int = 0


@dataclass(frozen=True)
class SelectionRequest:
    """One request for a choice. `max_cost_micro_usd` of 0 leaves the tenant's caps alone to bind.

    `key` is that of the request as it was received, by which a repeat is known.
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
    """Order of preference in force; version 0 when there is none."""

    capability_ids: tuple[str, ...] = ()
    version: int = 0
