"""The judgements that take nothing from outside: candidates, allow-lists, exclusion, health, cost and order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from svc_selector.domain.decision import Ranked, Rejection
from svc_selector.domain.model import (
    Candidate,
    CostTier,
    Health,
    Judgement,
    Ladder,
    Lifecycle,
    Prices,
    Requirements,
    SelectionRequest,
    Source,
    Subject,
)
from svc_selector.domain.pricing import greatest_cost_micro_usd

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


_TIERS = tuple(CostTier)
_UP_TO = ((10_000, CostTier.LOW), (100_000, CostTier.MEDIUM), (1_000_000, CostTier.HIGH))
"""What a call of a tier costs at most, in millionths of a US dollar."""


class Obstacle(NamedTuple):
    """Why a candidate cannot serve: a code for programs, a sentence for people, and the figures of a limit."""

    code: str
    reason: str
    needed: float | None = None
    limit: float | None = None


def _over(needed: float, limit: float, code: str, what: str) -> Iterator[Obstacle]:
    if limit and needed > limit:
        yield Obstacle(code, f"{what} of {needed:g} is above its limit of {limit:g}", needed, limit)


def obstacles(candidate: Candidate, requirements: Requirements) -> Iterator[Obstacle]:
    """What stands between a candidate and the requirements, parameters aside."""
    limits = candidate.limits
    if candidate.lifecycle is Lifecycle.DISABLED:
        yield Obstacle("DISABLED", "it is disabled")
    if candidate.unusable is not None:
        yield Obstacle(candidate.unusable.code, candidate.unusable.reason)
    if requirements.task_type not in candidate.task_types:
        yield Obstacle(
            "TASK_TYPE_MISMATCH", f"it serves {', '.join(candidate.task_types)}, not {requirements.task_type}"
        )
    if requirements.formats and limits.formats and not set(requirements.formats) & set(limits.formats):
        yield Obstacle(
            "FORMAT_MISMATCH", f"it makes {', '.join(limits.formats)}, not {', '.join(requirements.formats)}"
        )
    if requirements.source_language and requirements.source_language not in limits.source_languages:
        yield Obstacle("LANGUAGE_MISMATCH", f"it does not read {requirements.source_language} sources")
    yield from _over(requirements.width_px, limits.max_width_px, "TOO_WIDE", "a width in pixels")
    yield from _over(requirements.height_px, limits.max_height_px, "TOO_HIGH", "a height in pixels")
    yield from _over(
        requirements.prompt_chars, limits.max_prompt_chars, "PROMPT_TOO_LONG", "a prompt length in characters"
    )
    yield from _over(requirements.context_tokens, limits.context_window_tokens, "CONTEXT_TOO_SMALL", "a token count")
    yield from _over(requirements.duration_s, limits.max_duration_s, "TOO_LONG", "a duration in seconds")


def _listed(value: Iterable[str], allowed: Sequence[str]) -> bool:
    return not allowed or any(item in allowed for item in value)


def not_allowed(candidate: Candidate, subject: Subject) -> Iterator[Obstacle]:
    """Which allow-list of the candidate does not name the subject."""
    if not _listed(subject.roles, candidate.roles):
        yield Obstacle("ROLE_NOT_ALLOWED", f"it is for the roles {', '.join(candidate.roles)}")
    if not _listed([subject.persona], candidate.personas):
        yield Obstacle("PERSONA_NOT_ALLOWED", "it is not for this persona")
    if not _listed([subject.capsule], candidate.capsules):
        yield Obstacle("CAPSULE_NOT_ALLOWED", "it is not for this capsule")


def health_rejections(candidate: Candidate) -> Iterator[Obstacle]:
    """Why a candidate's health takes it out."""
    if candidate.circuit_open:
        yield Obstacle("CIRCUIT_OPEN", candidate.health_reason or "its circuit breaker is open")
    elif candidate.health is Health.UNHEALTHY:
        yield Obstacle("UNHEALTHY", candidate.health_reason or "its probes fail")


def visible(candidate: Candidate, tenant_id: str) -> bool:
    """Whether a tenant may know of a candidate; those of other tenants are passed over in silence."""
    return candidate.owner in ("", tenant_id) and (not candidate.tenants or tenant_id in candidate.tenants)


def filter_candidates(
    candidates: Iterable[Candidate],
    selection_request: SelectionRequest,
    subject: Subject,
    schema_errors: Mapping[str, str],
) -> tuple[list[Candidate], list[Rejection]]:
    """Judgements one to three: those that are left, and the first reason against each of the others.

    `schema_errors` says by capability id what of the parameters does not fit. A forced candidate is not asked for its
    health.
    """
    left: list[Candidate] = []
    rejected: list[Rejection] = []
    for candidate in candidates:
        against = next(_against(candidate, selection_request, subject, schema_errors), None)
        if against is None:
            left.append(candidate)
        else:
            rejected.append(Rejection(candidate.capability_id, against[0], *against[1]))
    return left, rejected


def _against(
    candidate: Candidate, selection_request: SelectionRequest, subject: Subject, schema_errors: Mapping[str, str]
) -> Iterator[tuple[Judgement, Obstacle]]:
    for obstacle in obstacles(candidate, selection_request.requirements):
        yield Judgement.CANDIDATES, obstacle
    problem = schema_errors.get(candidate.capability_id, "")
    if problem:
        yield Judgement.CANDIDATES, Obstacle("PARAMS_MISMATCH", f"its parameters do not fit: {problem}")
    if candidate.capability_id in selection_request.exclude:
        yield Judgement.EXCLUDED, Obstacle("EXCLUDED", "the caller left it out")
    for obstacle in not_allowed(candidate, subject):
        yield Judgement.ALLOW_LISTS, obstacle
    if selection_request.force != candidate.capability_id:
        for obstacle in health_rejections(candidate):
            yield Judgement.HEALTH, obstacle


def tier_in_force(candidate: Candidate, amount: int) -> CostTier:
    """Tier that a candidate is judged by for a call that costs so much: a private one's is not below its prices."""
    if not candidate.owner or candidate.cost_tier is CostTier.UNSPECIFIED or candidate.prices == Prices():
        return candidate.cost_tier
    by_prices = next((tier for limit, tier in _UP_TO if amount <= limit), CostTier.PREMIUM)
    return max(candidate.cost_tier, by_prices, key=_TIERS.index)


def _preferred(candidate: Candidate, selection_request: SelectionRequest) -> bool:
    wanted = (selection_request.preferred_provider, selection_request.preferred_tool)
    return any(wanted) and wanted[0] in ("", candidate.provider) and wanted[1] in ("", candidate.tool_id)


def _reason(candidate: Candidate, selection_request: SelectionRequest, place: int) -> str:
    words = []
    if candidate.capability_id == selection_request.force:
        words.append("forced by the caller")
    if _preferred(candidate, selection_request):
        words.append("preferred by the user")
    words.append(f"rung {place} of the ladder" if place else "not on the ladder")
    if candidate.health is Health.DEGRADED:
        words.append("sinks because it is degraded")
    if candidate.lifecycle is Lifecycle.DEPRECATED:
        words.append("sinks because it is deprecated")
    return ", ".join(words)


def order(candidates: Iterable[Candidate], selection_request: SelectionRequest, ladder: Ladder) -> tuple[Ranked, ...]:
    """Judgement six: forced, then well before degraded, current before deprecated, preferred, ladder, cost, name."""
    rung = {id_: place for place, id_ in enumerate(ladder.capability_ids, 1)}

    def key(candidate: Candidate) -> tuple[bool, bool, bool, bool, float, int, str]:
        return (
            candidate.capability_id != selection_request.force,
            candidate.health is Health.DEGRADED,
            candidate.lifecycle is Lifecycle.DEPRECATED,
            not _preferred(candidate, selection_request),
            rung.get(candidate.capability_id, math.inf),
            greatest_cost_micro_usd(candidate.prices, selection_request.units),
            candidate.capability_id,
        )

    return tuple(
        Ranked(
            candidate,
            rank,
            rung.get(candidate.capability_id, 0),
            greatest_cost_micro_usd(candidate.prices, selection_request.units),
            _reason(candidate, selection_request, rung.get(candidate.capability_id, 0)),
            preferred=_preferred(candidate, selection_request),
            forced=candidate.capability_id == selection_request.force,
        )
        for rank, candidate in enumerate(sorted(candidates, key=key), 1)
    )


def source_of(candidate: Candidate, selection_request: SelectionRequest) -> Source:
    """How the choice of a candidate came about."""
    if candidate.capability_id == selection_request.force:
        return Source.FORCED
    if selection_request.fallback_reason:
        return Source.FALLBACK
    return Source.PREFERENCE if _preferred(candidate, selection_request) else Source.LADDER
