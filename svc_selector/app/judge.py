"""The judgements that reserve nothing, kept for as long as they would come out the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mesh import tracing
from mesh.idempotency import NO_KEY
from svc_selector.app.ports import Denial, Verdicts
from svc_selector.app.schema_checks import SchemaChecks
from svc_selector.domain.bounded import BoundedCache
from svc_selector.domain.candidate_rules import filter_candidates, order
from svc_selector.domain.decision import JudgementResult, Rejection
from svc_selector.domain.model import Judgement
from svc_selector.domain.pricing import greatest_cost_micro_usd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_selector.app.ports import Candidates, Policy
    from svc_selector.domain.model import Candidate, SelectionRequest, Subject
    from svc_selector.domain.permissions import Permissions

MAX_CACHED = 4_096
MAX_CACHED_CANDIDATES = 200_000
"""Candidates in all judgements that are kept, together."""


class Judge:
    """Candidates, allow-lists, health, policy and order, in this order.

    Judgements of equal requests are the same until a candidate for their task type, its ladder or the caller's
    permissions change, so they are kept: looking one up takes a tenth of the time. Requests with parameters are judged
    anew, and so are all requests while policy is decided elsewhere, where it may change unseen.
    """

    def __init__(self, candidates: Candidates, policy: Policy) -> None:
        self._candidates = candidates
        self._policy = policy
        self._schemas = SchemaChecks()
        self._cache: BoundedCache[tuple[int, JudgementResult]] = BoundedCache(MAX_CACHED, MAX_CACHED_CANDIDATES)

    async def judge(
        self, selection_request: SelectionRequest, subject: Subject, permissions: Permissions
    ) -> JudgementResult:
        """What is left for a request, best first, and what was left out."""
        if selection_request.requirements.params is not None or not self._policy.fixed:
            return await self._judge(selection_request, subject, permissions)
        version = self._candidates.version(
            subject.tenant_id, selection_request.requirements.modality, selection_request.requirements.task_type
        )
        plain = (
            replace(selection_request, key=NO_KEY, dry_run=False)
            if selection_request.key.request_id or selection_request.dry_run
            else selection_request
        )
        key = (plain, _cache_key(subject), permissions)
        found = self._cache.get(key)
        if found is not None and found[0] == version:
            with tracing.span("capability_discovery", {"soma.kept": True}):
                return found[1]
        judged = await self._judge(selection_request, subject, permissions)
        self._cache.put(key, (version, judged), 1 + len(judged.ranked) + len(judged.rejected))
        return judged

    async def judge_modality(
        self, selection_request: SelectionRequest, subject: Subject, permissions: Permissions
    ) -> JudgementResult:
        """The same, and what was left out of the modality because it serves other task types, last."""
        others = self._serving_other_tasks(selection_request, subject)  # before the first await: of the same moment
        judged = await self.judge(selection_request, subject, permissions)
        return replace(judged, rejected=(*judged.rejected, *others))

    def _serving_other_tasks(self, selection_request: SelectionRequest, subject: Subject) -> Sequence[Rejection]:
        requirements = selection_request.requirements
        serving = self._candidates.of(subject.tenant_id, requirements.modality, requirements.task_type)
        everything = self._candidates.of(subject.tenant_id, requirements.modality, "")
        others = [candidate for id_, candidate in everything.items() if id_ not in serving]
        return filter_candidates(others, selection_request, subject, {})[1]

    async def _judge(
        self, selection_request: SelectionRequest, subject: Subject, permissions: Permissions
    ) -> JudgementResult:
        requirements = selection_request.requirements
        # Taken before the first await: what changes meanwhile is for the next request.
        ladder = self._candidates.ladder(subject.tenant_id, requirements.modality, requirements.task_type)
        candidates = list(
            self._candidates.of(subject.tenant_id, requirements.modality, requirements.task_type).values()
        )
        with tracing.span("capability_discovery"):
            errors = await self._schemas.errors(candidates, selection_request, subject.tenant_id)
            able, rejected = filter_candidates(candidates, selection_request, subject, errors)
        with tracing.span("policy_routing") as span:
            verdicts = await self._verdicts(selection_request, subject, permissions, able)
            span.set_attribute("soma.policy_id", verdicts.policy_id)
        allowed, denied = _allowed(able, verdicts)
        with tracing.span("portfolio_ranking"):
            return JudgementResult(
                order(allowed, selection_request, ladder), (*rejected, *denied), ladder.version, verdicts.policy_id
            )

    async def _verdicts(
        self, selection_request: SelectionRequest, subject: Subject, permissions: Permissions, able: Sequence[Candidate]
    ) -> Verdicts:
        units = selection_request.units
        costs = {candidate.capability_id: greatest_cost_micro_usd(candidate.prices, units) for candidate in able}
        return await self._policy.verdicts(selection_request, subject, permissions, able, costs)


def _allowed(able: Sequence[Candidate], verdicts: Verdicts) -> tuple[list[Candidate], list[Rejection]]:
    """What policy lets pass, and what it does not; what it gives no verdict on does not pass."""
    allowed: list[Candidate] = []
    denied: list[Rejection] = []
    for candidate in able:
        denials = verdicts.denials.get(candidate.capability_id)
        if denials is not None and not denials:
            allowed.append(candidate)
            continue
        denial = denials[0] if denials else Denial("POLICY_DENIED", "policy gave no verdict")
        denied.append(Rejection(candidate.capability_id, Judgement.POLICY, denial.code, denial.reason))
    return allowed, denied


def _cache_key(subject: Subject) -> tuple[str, str, tuple[str, ...], str, str, str]:
    """What of a subject the judgements look at; job and step are not."""
    return (
        subject.tenant_id,
        subject.subject,
        subject.roles,
        subject.persona,
        subject.capsule,
        subject.classification,
    )
