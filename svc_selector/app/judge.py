"""The judgements that reserve nothing, kept for as long as they would come out the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mesh import tracing
from svc_selector.domain.judge import cost, order, sift
from svc_selector.domain.model import Judged, Judgement, Rejection
from svc_selector.domain.ports import Denial

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from svc_selector.domain.model import Ask, Offer, Subject
    from svc_selector.domain.ports import Offers, Policy, Tenants

KEPT = 4_096


class Judge:
    """Candidates, allow-lists, health, policy and order, in this order.

    Judgements of equal asks are the same until an offer for their task type, its ladder or the tenant's plan changes,
    so they are kept: looking one up takes a tenth of the time. Asks with parameters are judged anew, and so are all
    asks while policy is decided elsewhere, where it may change unseen.
    """

    def __init__(self, offers: Offers, policy: Policy, tenants: Tenants) -> None:
        self._offers = offers
        self._policy = policy
        self._tenants = tenants
        self._kept: dict[Hashable, tuple[int, Judged]] = {}

    async def judge(self, ask: Ask, subject: Subject) -> Judged:
        """What is left for an ask, best first, and what was left out."""
        plan = await self._tenants.plan(subject.tenant_id)
        if ask.need.params is not None or not self._policy.fixed:
            return self._judge(ask, subject, plan)
        version = self._offers.version(ask.need.modality, ask.need.task_type)
        plain = replace(ask, request_id="", dry_run=False) if ask.request_id or ask.dry_run else ask
        key = (plain, _lasting(subject), plan)
        found = self._kept.get(key)
        if found is not None and found[0] == version:
            with tracing.span("capability_discovery", {"soma.kept": True}):
                return found[1]
        if len(self._kept) >= KEPT:
            self._kept.clear()
        judged = self._judge(ask, subject, plan)
        self._kept[key] = (version, judged)
        return judged

    def _judge(self, ask: Ask, subject: Subject, plan: str) -> Judged:
        need = ask.need
        with tracing.span("capability_discovery"):
            able, rejected = sift(
                self._offers.of(need.modality, need.task_type).values(),
                ask,
                subject,
                lambda offer: self._offers.schema_error(offer, ask),
            )
        with tracing.span("policy_routing", {"soma.policy_id": self._policy.policy_id}):
            allowed, denied = self._allowed(ask, subject, plan, able)
        with tracing.span("portfolio_ranking"):
            ladder = self._offers.ladder(subject.tenant_id, need.modality, need.task_type)
            return Judged(order(allowed, ask, ladder), (*rejected, *denied), ladder.version)

    def _allowed(
        self, ask: Ask, subject: Subject, plan: str, able: Sequence[Offer]
    ) -> tuple[list[Offer], list[Rejection]]:
        """What policy lets pass, and what it does not; what it gives no verdict on does not pass."""
        costs = {offer.capability_id: cost(offer.prices, ask.units) for offer in able}
        verdicts = self._policy.verdicts(ask, subject, plan, able, costs) if able else {}
        allowed: list[Offer] = []
        denied: list[Rejection] = []
        for offer in able:
            denials = verdicts.get(offer.capability_id)
            if denials is not None and not denials:
                allowed.append(offer)
                continue
            denial = denials[0] if denials else Denial("POLICY_DENIED", "policy gave no verdict")
            denied.append(Rejection(offer.capability_id, Judgement.POLICY, denial.code, denial.reason))
        return allowed, denied


def _lasting(subject: Subject) -> tuple[str, str, tuple[str, ...], str, str, str]:
    """What of a subject the judgements look at; job and step are not."""
    return (
        subject.tenant_id,
        subject.subject,
        subject.roles,
        subject.persona,
        subject.capsule,
        subject.classification,
    )
