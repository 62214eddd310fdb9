"""Filters and ranking of candidates by the request, allow-lists, exclusion, health, ladder and cost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from svc_selector.domain.decision import RankedCandidate, Rejection
from svc_selector.domain.model import (
    Candidate,
    CostTier,
    DecisionSource,
    FilterStage,
    Health,
    Ladder,
    Lifecycle,
    Prices,
    Requirements,
    SelectionRequest,
    Subject,
)
from svc_selector.domain.pricing import greatest_cost_micro_usd

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


_TIERS = tuple(CostTier)
_MAX_COST_OF_TIERS = ((10_000, CostTier.LOW), (100_000, CostTier.MEDIUM), (1_000_000, CostTier.HIGH))
"""Greatest cost of a call by tier, in millionths of a US dollar."""


class RejectionReason(NamedTuple):
    """Why a candidate is filtered out: a code for programs, a sentence for people, and an exceeded limit."""

    code: str
    reason: str
    needed: float | None = None
    limit: float | None = None


def _exceeds(needed: float, limit: float, code: str, quantity: str) -> Iterator[RejectionReason]:
    if limit and needed > limit:
        yield RejectionReason(code, f"{quantity} of {needed:g} is above its limit of {limit:g}", needed, limit)


def unmet_requirements(candidate: Candidate, requirements: Requirements) -> Iterator[RejectionReason]:
    """Yields what of the requirements a candidate does not meet, except for parameters."""
    limits = candidate.limits
    if candidate.lifecycle is Lifecycle.DISABLED:
        yield RejectionReason("DISABLED", "it is disabled")
    if candidate.unusable is not None:
        yield RejectionReason(candidate.unusable.code, candidate.unusable.reason)
    if requirements.task_type not in candidate.task_types:
        yield RejectionReason(
            "TASK_TYPE_MISMATCH", f"it serves {', '.join(candidate.task_types)}, not {requirements.task_type}"
        )
    if requirements.formats and limits.formats and not set(requirements.formats) & set(limits.formats):
        yield RejectionReason(
            "FORMAT_MISMATCH", f"it makes {', '.join(limits.formats)}, not {', '.join(requirements.formats)}"
        )
    if requirements.source_language and requirements.source_language not in limits.source_languages:
        yield RejectionReason("LANGUAGE_MISMATCH", f"it does not read {requirements.source_language} sources")
    yield from _exceeds(requirements.width_px, limits.max_width_px, "TOO_WIDE", "a width in pixels")
    yield from _exceeds(requirements.height_px, limits.max_height_px, "TOO_HIGH", "a height in pixels")
    yield from _exceeds(
        requirements.prompt_chars, limits.max_prompt_chars, "PROMPT_TOO_LONG", "a prompt length in characters"
    )
    yield from _exceeds(requirements.context_tokens, limits.context_window_tokens, "CONTEXT_TOO_SMALL", "a token count")
    yield from _exceeds(requirements.duration_s, limits.max_duration_s, "TOO_LONG", "a duration in seconds")


def _is_listed(values: Iterable[str], allowed: Sequence[str]) -> bool:
    return not allowed or any(value in allowed for value in values)


def allow_list_rejections(candidate: Candidate, subject: Subject) -> Iterator[RejectionReason]:
    """Yields the allow-lists of the candidate that do not contain the subject."""
    if not _is_listed(subject.roles, candidate.roles):
        yield RejectionReason("ROLE_NOT_ALLOWED", f"it is for the roles {', '.join(candidate.roles)}")
    if not _is_listed([subject.persona], candidate.personas):
        yield RejectionReason("PERSONA_NOT_ALLOWED", "it is not for this persona")
    if not _is_listed([subject.capsule], candidate.capsules):
        yield RejectionReason("CAPSULE_NOT_ALLOWED", "it is not for this capsule")


def health_rejections(candidate: Candidate) -> Iterator[RejectionReason]:
    """Yields why a candidate is too unhealthy to be called."""
    if candidate.circuit_open:
        yield RejectionReason("CIRCUIT_OPEN", candidate.health_reason or "its circuit breaker is open")
    elif candidate.health is Health.UNHEALTHY:
        yield RejectionReason("UNHEALTHY", candidate.health_reason or "its probes fail")


def is_visible(candidate: Candidate, tenant_id: str) -> bool:
    """Returns whether a tenant may know that a candidate exists."""
    return candidate.owner in ("", tenant_id) and (not candidate.tenants or tenant_id in candidate.tenants)


def filter_candidates(
    candidates: Iterable[Candidate],
    selection_request: SelectionRequest,
    subject: Subject,
    schema_errors: Mapping[str, str],
) -> tuple[list[Candidate], list[Rejection]]:
    """Returns the candidates that pass all stages before policy, and the others with their first reason.

    `schema_errors` has the violations of the parameters by capability id. The health of a forced candidate is ignored.
    """
    passed: list[Candidate] = []
    rejected: list[Rejection] = []
    for candidate in candidates:
        first = next(_rejections(candidate, selection_request, subject, schema_errors), None)
        if first is None:
            passed.append(candidate)
        else:
            stage, reason = first
            rejected.append(Rejection(candidate.capability_id, stage, *reason))
    return passed, rejected


def _rejections(
    candidate: Candidate, selection_request: SelectionRequest, subject: Subject, schema_errors: Mapping[str, str]
) -> Iterator[tuple[FilterStage, RejectionReason]]:
    for reason in unmet_requirements(candidate, selection_request.requirements):
        yield FilterStage.CANDIDATES, reason
    schema_error = schema_errors.get(candidate.capability_id, "")
    if schema_error:
        yield FilterStage.CANDIDATES, RejectionReason("PARAMS_MISMATCH", f"its parameters do not fit: {schema_error}")
    if candidate.capability_id in selection_request.exclude:
        yield FilterStage.EXCLUDED, RejectionReason("EXCLUDED", "excluded by the request")
    for reason in allow_list_rejections(candidate, subject):
        yield FilterStage.ALLOW_LISTS, reason
    if selection_request.force != candidate.capability_id:
        for reason in health_rejections(candidate):
            yield FilterStage.HEALTH, reason


def effective_cost_tier(candidate: Candidate, cost_micro_usd: int) -> CostTier:
    """Returns the tier that policy sees for a call of this cost: a tenant's own tier is raised to that of the cost."""
    if not candidate.owner or candidate.cost_tier is CostTier.UNSPECIFIED or candidate.prices == Prices():
        return candidate.cost_tier
    tier_of_cost = next((tier for limit, tier in _MAX_COST_OF_TIERS if cost_micro_usd <= limit), CostTier.PREMIUM)
    return max(candidate.cost_tier, tier_of_cost, key=_TIERS.index)


def _is_preferred(candidate: Candidate, selection_request: SelectionRequest) -> bool:
    provider, tool = selection_request.preferred_provider, selection_request.preferred_tool
    return bool(provider or tool) and provider in ("", candidate.provider) and tool in ("", candidate.tool_id)


def _reason(candidate: Candidate, selection_request: SelectionRequest, ladder_position: int) -> str:
    parts = []
    if candidate.capability_id == selection_request.force:
        parts.append("forced by the caller")
    if _is_preferred(candidate, selection_request):
        parts.append("preferred by the user")
    parts.append(f"rung {ladder_position} of the ladder" if ladder_position else "not on the ladder")
    if candidate.health is Health.DEGRADED:
        parts.append("sinks because it is degraded")
    if candidate.lifecycle is Lifecycle.DEPRECATED:
        parts.append("sinks because it is deprecated")
    return ", ".join(parts)


def rank_candidates(
    candidates: Iterable[Candidate], selection_request: SelectionRequest, ladder: Ladder
) -> tuple[RankedCandidate, ...]:
    """Returns candidates by: forced, not degraded, not deprecated, preferred, ladder position, cost, id."""
    positions = {capability_id: position for position, capability_id in enumerate(ladder.capability_ids, 1)}

    def sort_key(candidate: Candidate) -> tuple[bool, bool, bool, bool, float, int, str]:
        return (
            candidate.capability_id != selection_request.force,
            candidate.health is Health.DEGRADED,
            candidate.lifecycle is Lifecycle.DEPRECATED,
            not _is_preferred(candidate, selection_request),
            positions.get(candidate.capability_id, math.inf),
            greatest_cost_micro_usd(candidate.prices, selection_request.units),
            candidate.capability_id,
        )

    return tuple(
        RankedCandidate(
            candidate,
            rank,
            positions.get(candidate.capability_id, 0),
            greatest_cost_micro_usd(candidate.prices, selection_request.units),
            _reason(candidate, selection_request, positions.get(candidate.capability_id, 0)),
            preferred=_is_preferred(candidate, selection_request),
            forced=candidate.capability_id == selection_request.force,
        )
        for rank, candidate in enumerate(sorted(candidates, key=sort_key), 1)
    )


def decision_source(candidate: Candidate, selection_request: SelectionRequest) -> DecisionSource:
    """Returns why a chosen candidate came first."""
    if candidate.capability_id == selection_request.force:
        return DecisionSource.FORCED
    if selection_request.fallback_reason:
        return DecisionSource.FALLBACK
    return DecisionSource.PREFERENCE if _is_preferred(candidate, selection_request) else DecisionSource.LADDER
