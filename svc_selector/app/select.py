"""Selects one capability: filter, rank, reserve, record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from mesh import context
from mesh.errors import PreconditionViolation, QuotaViolation, Reason, SomaError, not_found
from svc_selector.app.rank import CandidateRanker
from svc_selector.domain.candidate_rules import decision_source
from svc_selector.domain.decision import Decision, Rejection
from svc_selector.domain.model import DecisionSource, FilterStage
from svc_selector.domain.permissions import apply_permissions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mesh.clock import Clock
    from mesh.ids import Ids
    from svc_selector.app.ports import CallerPermissions, CandidateCatalog, DecisionStore, Degradation, Ledger, Policy
    from svc_selector.app.recorder import Recorder
    from svc_selector.domain.decision import BudgetReservation, RankedCandidate, RankingResult, StoredSelection
    from svc_selector.domain.model import SelectionRequest, Subject


@dataclass(frozen=True)
class SelectorOptions:
    """Options of an operator. Ages and times in seconds."""

    reservation_ttl_s: float
    max_stale_s: float
    allow_force: bool


class Selector:
    """Selects capabilities, and reads past selections."""

    def __init__(
        self,
        *,
        candidates: CandidateCatalog,
        policy: Policy,
        permissions: CallerPermissions,
        ledger: Ledger,
        decisions: DecisionStore,
        recorder: Recorder,
        degradation: Degradation,
        clock: Clock,
        ids: Ids,
        options: SelectorOptions,
    ) -> None:
        self._candidates = candidates
        self._permissions = permissions
        self._ranker = CandidateRanker(candidates, policy)
        self._ledger = ledger
        self._decisions = decisions
        self._recorder = recorder
        self._degradation = degradation
        self._clock = clock
        self._ids = ids
        self._options = options

    async def select(self, selection_request: SelectionRequest, subject: Subject) -> Decision:
        """Filters, ranks, reserves and chooses.

        NO_CAPABLE_CAPABILITY when no candidate is left (that decision is recorded too), BUDGET_EXCEEDED when some were
        rejected for their cost alone, UNAVAILABLE while the catalog is empty or too stale, PERMISSION_DENIED for a
        persona or capsule that the caller may not use.
        """
        started = self._clock.monotonic()
        stale_since = self._require_fresh_catalog()
        if selection_request.force and not self._options.allow_force:
            selection_request = replace(selection_request, force="")
        permissions = await self._permissions.get(subject.tenant_id, subject.key_id)
        subject = apply_permissions(subject, permissions)
        ranking = await self._ranker.rank(selection_request, subject, permissions)
        if selection_request.requirements.params is not None:  # from here on only the stored form is needed
            selection_request = replace(
                selection_request, requirements=replace(selection_request.requirements, params=None)
            )
        draft = self._draft(selection_request, subject, ranking, stale_since, started)
        if selection_request.dry_run:
            return self._chosen_or_raise(replace(draft, selection_id=""))
        decision = await self._reserve_first_affordable(draft)
        if decision.reservation is None:
            await self._recorder.record(decision)
        return self._chosen_or_raise(decision)

    async def find(self, selection_request: SelectionRequest, subject: Subject) -> RankingResult:
        """Returns the candidates, best first, and why each other capability of the modality is not one.

        Filters and ranks as `select` does, and raises the same, except that it may return no candidate.
        """
        self._require_fresh_catalog()
        permissions = await self._permissions.get(subject.tenant_id, subject.key_id)
        return await self._ranker.rank_modality(selection_request, apply_permissions(subject, permissions), permissions)

    def _require_fresh_catalog(self) -> datetime | None:
        if not self._candidates.loaded:
            raise SomaError(Reason.UNAVAILABLE, "the registry was not read yet; try again shortly", retry_after_s=1)
        since = self._candidates.stale_since
        if since is not None and (self._clock.now() - since).total_seconds() > self._options.max_stale_s:
            text = "the view of the registry is too old to choose by; try again shortly"
            raise SomaError(Reason.UNAVAILABLE, text, metadata={"component": "registry"}, retry_after_s=5)
        return since

    def _draft(
        self,
        selection_request: SelectionRequest,
        subject: Subject,
        ranking: RankingResult,
        stale_since: datetime | None,
        started: float,
    ) -> Decision:
        first = ranking.ranked[0].candidate if ranking.ranked else None
        request = context.current()
        return Decision(
            selection_id=self._ids.new(),
            selection_request=selection_request,
            subject=subject,
            chosen=first,
            ranked=ranking.ranked,
            rejected=ranking.rejected,
            source=decision_source(first, selection_request) if first else DecisionSource.LADDER,
            reason=_reason(ranking.ranked, ranking.rejected, selection_request),
            policy_id=ranking.policy_id,
            ladder_version=ranking.ladder_version,
            reservation=None,
            degradation_level=self._degradation.level,
            stale_since=stale_since,
            decided_at=self._clock.now(),
            elapsed_us=round((self._clock.monotonic() - started) * 1_000_000),
            actor=request.caller.actor if request and request.caller else "",
            traceparent=request.traceparent if request else "",
            ranking=ranking,
        )

    async def _reserve_first_affordable(self, draft: Decision) -> Decision:
        """Chooses the first candidate that the budget allows; the ledger records that decision with its reservation."""
        decision = draft
        for ranked in draft.ranked:
            if ranked.candidate is not decision.chosen:
                decision = _choose(decision, ranked)
            if ranked.cost_micro_usd == 0:
                return decision
            reservation = await self._reserve(decision, ranked)
            if reservation is not None:
                return replace(decision, reservation=reservation)
            text = f"its cost of {ranked.cost_micro_usd} micro-USD is above what the budget has left"
            rejection = Rejection(
                ranked.candidate.capability_id,
                FilterStage.BUDGET,
                "BUDGET_EXCEEDED",
                text,
                cost_micro_usd=ranked.cost_micro_usd,
            )
            decision = replace(
                decision,
                chosen=None,
                ranked=decision.ranked[1:],
                rejected=(*decision.rejected, rejection),
                ranking=None,
            )
        return replace(
            decision, chosen=None, reason=_reason((), decision.rejected, draft.selection_request), ranking=None
        )

    async def _reserve(self, decision: Decision, ranked: RankedCandidate) -> BudgetReservation | None:
        return await self._ledger.reserve(
            decision.subject.tenant_id,
            decision.selection_request.requirements.modality,
            ranked.cost_micro_usd,
            timedelta(seconds=self._options.reservation_ttl_s),
            decision,
        )

    @staticmethod
    def _chosen_or_raise(decision: Decision) -> Decision:
        if decision.chosen is None:
            raise no_candidate_error(decision)
        return decision

    async def get(self, tenant_id: str, selection_id: str) -> bytes:
        """Returns the serialised Selection of a past decision. NOT_FOUND for an unknown one."""
        await self._recorder.flush()
        serialized = await self._decisions.get(tenant_id, selection_id)
        if serialized is None:
            raise not_found("selection", selection_id)
        return serialized

    async def get_by_request(self, tenant_id: str, request_id: str) -> StoredSelection | None:
        """Returns the selection of an earlier request with this id; None when there is none."""
        return await self._decisions.get_by_request(tenant_id, request_id)

    async def list(self, tenant_id: str, job_id: str, size: int, token: str) -> Sequence[bytes]:
        """Returns serialised Selections, newest first; one more than the page size when there is a next page."""
        await self._recorder.flush()
        return await self._decisions.list(tenant_id, job_id, size + 1, token)


def _choose(decision: Decision, ranked: RankedCandidate) -> Decision:
    return replace(
        decision,
        chosen=ranked.candidate,
        source=decision_source(ranked.candidate, decision.selection_request),
        reason=_reason(decision.ranked, decision.rejected, decision.selection_request),
    )


def _reason(
    ranked: Sequence[RankedCandidate], rejected: Sequence[Rejection], selection_request: SelectionRequest
) -> str:
    prefix = f"after {selection_request.fallback_reason}: " if selection_request.fallback_reason else ""
    if not ranked:
        rejections = "the only capability was" if len(rejected) == 1 else f"all {len(rejected)} capabilities were"
        return f"{prefix}nothing could be chosen: {rejections} left out"
    first = ranked[0]
    alternatives = f"; {len(ranked) - 1} more could serve" if len(ranked) > 1 else ""
    rejections = f", {len(rejected)} left out" if rejected else ""
    return f"{prefix}{first.candidate.capability_id}: {first.reason}{alternatives}{rejections}"


def no_candidate_error(decision: Decision) -> SomaError:
    """Returns the error of a decision that chose nothing; BUDGET_EXCEEDED when a rejection was for cost."""
    requirements = decision.selection_request.requirements
    details = [
        PreconditionViolation(rejection.code, rejection.capability_id, f"{rejection.stage.value}: {rejection.reason}")
        for rejection in decision.rejected
    ]
    over_budget = [rejection for rejection in decision.rejected if rejection.stage is FilterStage.BUDGET]
    task = f"{requirements.modality}/{requirements.task_type}"
    if over_budget:
        text = f"the budget has less left than any capability for {task} costs"
        quotas = [QuotaViolation(f"budget:{rejection.capability_id}", rejection.reason) for rejection in over_budget]
        return SomaError(Reason.BUDGET_EXCEEDED, text, quotas=quotas, preconditions=details)
    text = f"no capability for {task} is left; {len(details)} left out, for the reasons in the details"
    if not details:
        text = f"no capability serves {task}; GET /v1/multimodal/capabilities lists what there is"
    return SomaError(
        Reason.NO_CAPABLE_CAPABILITY,
        text,
        preconditions=details,
        metadata={"selection_id": decision.selection_id, "policy_id": decision.policy_id},
    )
