"""The judgements that reserve nothing, kept for as long as they would come out the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mesh import tracing
from svc_selector.app.schema_checks import SchemaChecks
from svc_selector.domain.bounded import BoundedCache
from svc_selector.domain.decision import Judged, Rejection
from svc_selector.domain.judge import cost, order, sift
from svc_selector.domain.model import Judgement
from svc_selector.domain.ports import Denial, Verdicts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_selector.domain.model import Ask, Offer, Subject
    from svc_selector.domain.permissions import Permissions
    from svc_selector.domain.ports import Offers, Policy

KEPT = 4_096
KEPT_OFFERS = 200_000
"""Offers in all judgements that are kept, together."""


class Judge:
    """Candidates, allow-lists, health, policy and order, in this order.

    Judgements of equal asks are the same until an offer for their task type, its ladder or the caller's permissions
    change, so they are kept: looking one up takes a tenth of the time. Asks with parameters are judged anew, and so are
    all asks while policy is decided elsewhere, where it may change unseen.
    """

    def __init__(self, offers: Offers, policy: Policy) -> None:
        self._offers = offers
        self._policy = policy
        self._schemas = SchemaChecks()
        self._kept: BoundedCache[tuple[int, Judged]] = BoundedCache(KEPT, KEPT_OFFERS)

    async def judge(self, ask: Ask, subject: Subject, permissions: Permissions) -> Judged:
        """What is left for an ask, best first, and what was left out."""
        if ask.need.params is not None or not self._policy.fixed:
            return await self._judge(ask, subject, permissions)
        version = self._offers.version(subject.tenant_id, ask.need.modality, ask.need.task_type)
        plain = replace(ask, request_id="", digest=b"", dry_run=False) if ask.request_id or ask.dry_run else ask
        key = (plain, _lasting(subject), permissions)
        found = self._kept.get(key)
        if found is not None and found[0] == version:
            with tracing.span("capability_discovery", {"soma.kept": True}):
                return found[1]
        judged = await self._judge(ask, subject, permissions)
        self._kept.put(key, (version, judged), 1 + len(judged.ranked) + len(judged.rejected))
        return judged

    async def _judge(self, ask: Ask, subject: Subject, permissions: Permissions) -> Judged:
        need = ask.need
        # Taken before the first await: what changes meanwhile is for the next ask.
        ladder = self._offers.ladder(subject.tenant_id, need.modality, need.task_type)
        offers = list(self._offers.of(subject.tenant_id, need.modality, need.task_type).values())
        with tracing.span("capability_discovery"):
            errors = await self._schemas.errors(offers, ask, subject.tenant_id)
            able, rejected = sift(offers, ask, subject, errors)
        with tracing.span("policy_routing") as span:
            verdicts = await self._verdicts(ask, subject, permissions, able)
            span.set_attribute("soma.policy_id", verdicts.policy_id)
        allowed, denied = _allowed(able, verdicts)
        with tracing.span("portfolio_ranking"):
            return Judged(order(allowed, ask, ladder), (*rejected, *denied), ladder.version, verdicts.policy_id)

    async def _verdicts(self, ask: Ask, subject: Subject, permissions: Permissions, able: Sequence[Offer]) -> Verdicts:
        costs = {offer.capability_id: cost(offer.prices, ask.units) for offer in able}
        return await self._policy.verdicts(ask, subject, permissions, able, costs)


def _allowed(able: Sequence[Offer], verdicts: Verdicts) -> tuple[list[Offer], list[Rejection]]:
    """What policy lets pass, and what it does not; what it gives no verdict on does not pass."""
    allowed: list[Offer] = []
    denied: list[Rejection] = []
    for offer in able:
        denials = verdicts.denials.get(offer.capability_id)
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
