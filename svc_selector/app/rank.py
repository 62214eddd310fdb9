"""Filters and ranks candidates, and caches the results."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mesh import tracing
from mesh.idempotency import NO_KEY
from svc_selector.app.ports import Denial, PolicyDecision
from svc_selector.app.schema_checks import SchemaChecks
from svc_selector.domain.candidate_rules import filter_candidates, rank_candidates
from svc_selector.domain.decision import RankingResult, Rejection
from svc_selector.domain.lru_cache import WeightedLruCache
from svc_selector.domain.model import FilterStage
from svc_selector.domain.pricing import greatest_cost_micro_usd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_selector.app.ports import CandidateCatalog, Policy
    from svc_selector.domain.model import Candidate, SelectionRequest, Subject
    from svc_selector.domain.permissions import Permissions

MAX_CACHED = 4_096
MAX_CACHED_CANDIDATES = 200_000
"""Most candidates in all cached results together."""


class CandidateRanker:
    """Filters candidates by requirements, allow-lists, health and policy, then ranks the rest.

    Equal requests get the same result until a candidate for their task type, its ladder or the caller's permissions
    change, so results are cached: a lookup takes a tenth of the time. Requests with parameters are not cached, and
    none are while policy is evaluated by another service, where it may change unnoticed.
    """

    def __init__(self, candidates: CandidateCatalog, policy: Policy) -> None:
        self._candidates = candidates
        self._policy = policy
        self._schemas = SchemaChecks()
        self._cache: WeightedLruCache[tuple[int, RankingResult]] = WeightedLruCache(MAX_CACHED, MAX_CACHED_CANDIDATES)

    async def rank(
        self, selection_request: SelectionRequest, subject: Subject, permissions: Permissions
    ) -> RankingResult:
        """Returns the candidates for a request, best first, and the rejected ones."""
        if selection_request.requirements.params is not None or not self._policy.is_cacheable:
            return await self._rank(selection_request, subject, permissions)
        version = self._candidates.version(
            subject.tenant_id, selection_request.requirements.modality, selection_request.requirements.task_type
        )
        key = (_cached_fields_of_request(selection_request), _cached_fields_of_subject(subject), permissions)
        cached = self._cache.get(key)
        if cached is not None and cached[0] == version:
            with tracing.span("capability_discovery", {"soma.kept": True}):
                return cached[1]
        ranking = await self._rank(selection_request, subject, permissions)
        self._cache.put(key, (version, ranking), 1 + len(ranking.ranked) + len(ranking.rejected))
        return ranking

    async def rank_modality(
        self, selection_request: SelectionRequest, subject: Subject, permissions: Permissions
    ) -> RankingResult:
        """Returns the same, and last the rejections of the modality's capabilities for other task types."""
        # Read before the first await, so that both parts are of the same moment.
        others = self._reject_other_task_types(selection_request, subject)
        ranking = await self.rank(selection_request, subject, permissions)
        return replace(ranking, rejected=(*ranking.rejected, *others))

    def _reject_other_task_types(self, selection_request: SelectionRequest, subject: Subject) -> Sequence[Rejection]:
        requirements = selection_request.requirements
        of_task_type = self._candidates.for_task(subject.tenant_id, requirements.modality, requirements.task_type)
        of_modality = self._candidates.for_task(subject.tenant_id, requirements.modality, "")
        others = [candidate for id_, candidate in of_modality.items() if id_ not in of_task_type]
        return filter_candidates(others, selection_request, subject, {})[1]

    async def _rank(
        self, selection_request: SelectionRequest, subject: Subject, permissions: Permissions
    ) -> RankingResult:
        requirements = selection_request.requirements
        # Read before the first await: later changes are for the next request.
        ladder = self._candidates.ladder(subject.tenant_id, requirements.modality, requirements.task_type)
        candidates = list(
            self._candidates.for_task(subject.tenant_id, requirements.modality, requirements.task_type).values()
        )
        with tracing.span("capability_discovery"):
            errors = await self._schemas.errors(candidates, selection_request, subject.tenant_id)
            passed, rejected = filter_candidates(candidates, selection_request, subject, errors)
        with tracing.span("policy_routing") as span:
            decision = await self._evaluate_policy(selection_request, subject, permissions, passed)
            span.set_attribute("soma.policy_id", decision.policy_id)
        allowed, denied = _split_by_policy(passed, decision)
        with tracing.span("portfolio_ranking"):
            ranked = rank_candidates(allowed, selection_request, ladder)
            return RankingResult(ranked, (*rejected, *denied), ladder.version, decision.policy_id)

    async def _evaluate_policy(
        self,
        selection_request: SelectionRequest,
        subject: Subject,
        permissions: Permissions,
        candidates: Sequence[Candidate],
    ) -> PolicyDecision:
        units = selection_request.units
        costs = {candidate.capability_id: greatest_cost_micro_usd(candidate.prices, units) for candidate in candidates}
        return await self._policy.evaluate(selection_request, subject, permissions, candidates, costs)


def _split_by_policy(
    candidates: Sequence[Candidate], decision: PolicyDecision
) -> tuple[list[Candidate], list[Rejection]]:
    """Returns the candidates that policy allows, and the others as rejected; one without an entry is denied."""
    allowed: list[Candidate] = []
    denied: list[Rejection] = []
    for candidate in candidates:
        denials = decision.denials.get(candidate.capability_id)
        if denials is not None and not denials:
            allowed.append(candidate)
            continue
        denial = denials[0] if denials else Denial("POLICY_DENIED", "policy gave no verdict")
        denied.append(Rejection(candidate.capability_id, FilterStage.POLICY, denial.code, denial.reason))
    return allowed, denied


def _cached_fields_of_request(selection_request: SelectionRequest) -> SelectionRequest:
    """Returns the request without the fields that do not change its result."""
    if not selection_request.key.request_id and not selection_request.dry_run:
        return selection_request
    return replace(selection_request, key=NO_KEY, dry_run=False)


def _cached_fields_of_subject(subject: Subject) -> tuple[str, str, tuple[str, ...], str, str, str]:
    """Returns the fields of a subject that change the result of a request; job and step do not."""
    return (
        subject.tenant_id,
        subject.subject,
        subject.roles,
        subject.persona,
        subject.capsule,
        subject.classification,
    )
