"""The seven judgements in order, and the one choice that comes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from mesh import context
from mesh.errors import PreconditionViolation, QuotaViolation, Reason, SomaError, not_found
from svc_selector.app.judge import Judge
from svc_selector.domain.candidate_rules import source_of
from svc_selector.domain.decision import Decision, Rejection
from svc_selector.domain.model import Judgement, Source
from svc_selector.domain.permissions import within_permissions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from mesh.clock import Clock
    from mesh.ids import Ids
    from svc_selector.app.ports import CallerPermissions, Candidates, Decisions, Degradation, Ledger, Policy
    from svc_selector.app.recorder import Recorder
    from svc_selector.domain.decision import BudgetReservation, JudgementResult, Ranked, Recorded
    from svc_selector.domain.model import SelectionRequest, Subject


@dataclass(frozen=True)
class SelectorOptions:
    """What an operator may set. Ages and times in seconds."""

    reservation_ttl_s: float
    max_stale_s: float
    allow_force: bool


class Selector:
    """Chooses capabilities and remembers why."""

    def __init__(
        self,
        *,
        candidates: Candidates,
        policy: Policy,
        permissions: CallerPermissions,
        ledger: Ledger,
        decisions: Decisions,
        recorder: Recorder,
        degradation: Degradation,
        clock: Clock,
        ids: Ids,
        options: SelectorOptions,
    ) -> None:
        self._candidates = candidates
        self._permissions = permissions
        self._judge = Judge(candidates, policy)
        self._ledger = ledger
        self._decisions = decisions
        self._recorder = recorder
        self._degradation = degradation
        self._clock = clock
        self._ids = ids
        self._options = options

    async def select(self, selection_request: SelectionRequest, subject: Subject) -> Decision:
        """Judges, reserves and chooses.

        NO_CAPABLE_CAPABILITY when nothing is left (that decision is recorded too), BUDGET_EXCEEDED when only budget
        stood in the way, UNAVAILABLE while there is no view of the registry, or one too old to be trusted,
        PERMISSION_DENIED for a persona or capsule that the caller may not use.
        """
        started = self._clock.monotonic()
        stale_since = self._require_fresh_view()
        if selection_request.force and not self._options.allow_force:
            selection_request = replace(selection_request, force="")
        permissions = await self._permissions.of(subject.tenant_id, subject.key_id)
        subject = within_permissions(subject, permissions)
        judged = await self._judge.judge(selection_request, subject, permissions)
        if selection_request.requirements.params is not None:  # from here on what is kept of them stands for them
            selection_request = replace(
                selection_request, requirements=replace(selection_request.requirements, params=None)
            )
        draft = self._draft(selection_request, subject, judged, stale_since, started)
        if selection_request.dry_run:
            return self._answer(replace(draft, selection_id=""))
        decision = await self._reserve_first_affordable(draft)
        if decision.reservation is None:
            await self._recorder.record(decision)
        return self._answer(decision)

    async def find(self, selection_request: SelectionRequest, subject: Subject) -> JudgementResult:
        """What could be chosen, best first, and why each other capability of the modality could not.

        Judges as `select` does in a dry run, and raises the same; that nothing is left is an answer here.
        """
        self._require_fresh_view()
        permissions = await self._permissions.of(subject.tenant_id, subject.key_id)
        return await self._judge.judge_modality(
            selection_request, within_permissions(subject, permissions), permissions
        )

    def _require_fresh_view(self) -> datetime | None:
        if not self._candidates.loaded:
            raise SomaError(Reason.UNAVAILABLE, "the registry was not heard yet; try again shortly", retry_after_s=1)
        since = self._candidates.stale_since
        if since is not None and (self._clock.now() - since).total_seconds() > self._options.max_stale_s:
            text = "the view of the registry is too old to choose by; try again shortly"
            raise SomaError(Reason.UNAVAILABLE, text, metadata={"component": "registry"}, retry_after_s=5)
        return since

    def _draft(
        self,
        selection_request: SelectionRequest,
        subject: Subject,
        judged: JudgementResult,
        stale_since: datetime | None,
        started: float,
    ) -> Decision:
        first = judged.ranked[0].candidate if judged.ranked else None
        request = context.current()
        return Decision(
            selection_id=self._ids.new(),
            selection_request=selection_request,
            subject=subject,
            chosen=first,
            ranked=judged.ranked,
            rejected=judged.rejected,
            source=source_of(first, selection_request) if first else Source.LADDER,
            reason=_reason(judged.ranked, judged.rejected, selection_request),
            policy_id=judged.policy_id,
            ladder_version=judged.ladder_version,
            reservation=None,
            degradation_level=self._degradation.level,
            stale_since=stale_since,
            decided_at=self._clock.now(),
            elapsed_us=round((self._clock.monotonic() - started) * 1_000_000),
            actor=request.caller.actor if request and request.caller else "",
            traceparent=request.traceparent if request else "",
            judged=judged,
        )

    async def _reserve_first_affordable(self, draft: Decision) -> Decision:
        """Judgement five: the first candidate that the budget bears, the decision written with its reservation."""
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
            against = Rejection(
                ranked.candidate.capability_id,
                Judgement.BUDGET,
                "BUDGET_EXCEEDED",
                text,
                cost_micro_usd=ranked.cost_micro_usd,
            )
            decision = replace(
                decision, chosen=None, ranked=decision.ranked[1:], rejected=(*decision.rejected, against), judged=None
            )
        return replace(
            decision, chosen=None, reason=_reason((), decision.rejected, draft.selection_request), judged=None
        )

    async def _reserve(self, decision: Decision, ranked: Ranked) -> BudgetReservation | None:
        return await self._ledger.reserve(
            decision.subject.tenant_id,
            decision.selection_request.requirements.modality,
            ranked.cost_micro_usd,
            timedelta(seconds=self._options.reservation_ttl_s),
            decision,
        )

    @staticmethod
    def _answer(decision: Decision) -> Decision:
        if decision.chosen is None:
            raise no_candidate_error(decision)
        return decision

    async def get(self, tenant_id: str, selection_id: str) -> bytes:
        """The document of a past decision."""
        await self._recorder.flush()
        document = await self._decisions.get(tenant_id, selection_id)
        if document is None:
            raise not_found("selection", selection_id)
        return document

    async def by_request(self, tenant_id: str, request_id: str) -> Recorded | None:
        """The decision that a request id made before; such a decision is written before it is answered."""
        return await self._decisions.by_request(tenant_id, request_id)

    async def list(self, tenant_id: str, job_id: str, size: int, token: str) -> Sequence[bytes]:
        """Documents of past decisions, newest first; one more than the page when there is a next one."""
        await self._recorder.flush()
        return await self._decisions.list(tenant_id, job_id, size + 1, token)


def _choose(decision: Decision, ranked: Ranked) -> Decision:
    return replace(
        decision,
        chosen=ranked.candidate,
        source=source_of(ranked.candidate, decision.selection_request),
        reason=_reason(decision.ranked, decision.rejected, decision.selection_request),
    )


def _reason(ranked: Sequence[Ranked], rejected: Sequence[Rejection], selection_request: SelectionRequest) -> str:
    why = f"after {selection_request.fallback_reason}: " if selection_request.fallback_reason else ""
    if not ranked:
        all_of_them = "the only capability was" if len(rejected) == 1 else f"all {len(rejected)} capabilities were"
        return f"{why}nothing could be chosen: {all_of_them} left out"
    first = ranked[0]
    others = f"; {len(ranked) - 1} more could serve" if len(ranked) > 1 else ""
    out = f", {len(rejected)} left out" if rejected else ""
    return f"{why}{first.candidate.capability_id}: {first.reason}{others}{out}"


def no_candidate_error(decision: Decision) -> SomaError:
    """The terminal answer: every capability with the reason against it; a quota failure when only budget was."""
    selection_request = decision.selection_request
    details = [
        PreconditionViolation(item.code, item.capability_id, f"{item.judgement.value}: {item.reason}")
        for item in decision.rejected
    ]
    budget = [item for item in decision.rejected if item.judgement is Judgement.BUDGET]
    if budget:
        wanted = selection_request.requirements
        text = f"the budget does not bear any capability for {wanted.modality}/{wanted.task_type}"
        quotas = [QuotaViolation(f"budget:{item.capability_id}", item.reason) for item in budget]
        return SomaError(Reason.BUDGET_EXCEEDED, text, quotas=quotas, preconditions=details)
    what = f"{selection_request.requirements.modality}/{selection_request.requirements.task_type}"
    text = f"no capability for {what} is left; {len(details)} left out, for the reasons in the details"
    if not details:
        text = f"no capability serves {what}; GET /v1/multimodal/capabilities lists what there is"
    return SomaError(
        Reason.NO_CAPABLE_CAPABILITY,
        text,
        preconditions=details,
        metadata={"selection_id": decision.selection_id, "policy_id": decision.policy_id},
    )
