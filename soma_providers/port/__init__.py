"""The port to providers: what an adapter is given, what it gives back, and how it fails.

An adapter invokes one model or tool and nothing else. It does no selection, storage, policy or retries: those stand
around it once, in `soma_providers.runtime`. `docs/providers.md` says how to add one.
"""

from __future__ import annotations

from soma_providers.port.capability import CapabilityKey
from soma_providers.port.egress import Egress, EgressError, EgressFailure, EgressRequest, EgressResponse
from soma_providers.port.estimates import (
    EstimateRequest,
    Estimates,
    EstimatingProvider,
    default_estimate,
    input_tokens,
    larger_usage,
    spoken_seconds,
    text_estimate,
    whole_number,
)
from soma_providers.port.manifest import Manifest
from soma_providers.port.processes import Capacity, Pool, Processes
from soma_providers.port.prompts import prompt_of, with_feedback
from soma_providers.port.provider import (
    DEFAULT_OUTPUT_TOKENS,
    Artefact,
    Catalogue,
    Credential,
    Failure,
    FailureOrigin,
    Feedback,
    InputArtefact,
    Invocation,
    InvocationResult,
    JsonValue,
    LimitedProvider,
    ProbeResult,
    Provider,
    ProviderBusyError,
    ProviderContext,
    ProviderError,
    ProviderSlot,
    Usage,
    invalid_input,
)
from soma_providers.port.storable import storable_fields, storable_text

__all__ = (
    "DEFAULT_OUTPUT_TOKENS",
    "Artefact",
    "CapabilityKey",
    "Capacity",
    "Catalogue",
    "Credential",
    "Egress",
    "EgressError",
    "EgressFailure",
    "EgressRequest",
    "EgressResponse",
    "EstimateRequest",
    "Estimates",
    "EstimatingProvider",
    "Failure",
    "FailureOrigin",
    "Feedback",
    "InputArtefact",
    "Invocation",
    "InvocationResult",
    "JsonValue",
    "LimitedProvider",
    "Manifest",
    "Pool",
    "ProbeResult",
    "Processes",
    "Provider",
    "ProviderBusyError",
    "ProviderContext",
    "ProviderError",
    "ProviderSlot",
    "Usage",
    "default_estimate",
    "input_tokens",
    "invalid_input",
    "larger_usage",
    "prompt_of",
    "spoken_seconds",
    "storable_fields",
    "storable_text",
    "text_estimate",
    "whole_number",
    "with_feedback",
)
