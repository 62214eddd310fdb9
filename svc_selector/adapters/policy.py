"""Policy over all offers in one evaluation."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from svc_selector.domain.bounded import BoundedCache
from svc_selector.domain.judge import tier_in_force
from svc_selector.domain.ports import Denial, Verdicts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mesh.policy import Policy
    from svc_selector.domain.model import Ask, Offer, Subject
    from svc_selector.domain.permissions import Permissions

RULE = "data.soma.multimodal.verdicts"
KEPT = 4_096
KEPT_OFFERS = 200_000
"""Offers in all verdicts that are kept, together."""


class RegoVerdicts:
    """Asks the bundle's `soma.multimodal.verdicts`.

    A policy that cannot change gives equal input equal verdicts, so these are kept: evaluating takes a hundred times
    as long as looking up. Health and budget are not in the input, they are judged on every call. `profile` is the one
    that the mesh runs in: production, dev or test.
    """

    def __init__(self, policy: Policy, profile: str) -> None:
        self._policy = policy
        self._profile = profile
        self._kept: BoundedCache[Verdicts] = BoundedCache(KEPT, KEPT_OFFERS)

    @property
    def fixed(self) -> bool:
        """Whether equal input gets equal verdicts."""
        return self._policy.fixed

    async def verdicts(
        self,
        ask: Ask,
        subject: Subject,
        permissions: Permissions,
        offers: Sequence[Offer],
        costs: Mapping[str, int],
    ) -> Verdicts:
        """The verdicts; what policy does not name is absent, and so denied."""
        if not offers:
            return Verdicts(self._policy.policy_id, {})
        asked = _input(ask, subject, permissions, offers, costs) | {"profile": self._profile}
        if not self._policy.fixed:
            return await self._ask(asked)
        key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).digest()
        found = self._kept.get(key)
        if found is None:
            found = await self._ask(asked)
            self._kept.put(key, found, len(offers))
        return found

    async def _ask(self, asked: dict[str, object]) -> Verdicts:
        answer = await self._policy.ask(RULE, asked)
        given = answer.items() if isinstance(answer, dict) else ()
        denials = {id_: [Denial(item["code"], item["reason"]) for item in denied] for id_, denied in given}
        return Verdicts(self._policy.policy_id, denials)


def _input(
    ask: Ask, subject: Subject, permissions: Permissions, offers: Sequence[Offer], costs: Mapping[str, int]
) -> dict[str, object]:
    return {
        "modality": ask.need.modality,
        "classification": subject.classification,
        "max_cost_micro_usd": ask.max_cost_micro_usd,
        "max_cost_tier": ask.max_cost_tier.value,
        "tenant": {
            "id": subject.tenant_id,
            "plan": permissions.plan,
            "permissions": {
                "denied_providers": list(permissions.denied_providers),
                "denied_tools": list(permissions.denied_tools),
                "max_cost_tier": permissions.max_cost_tier,
            },
        },
        "subject": {
            "id": subject.subject,
            "roles": list(subject.roles),
            "persona": subject.persona,
            "capsule": subject.capsule,
        },
        "candidates": [
            {
                "capability_id": offer.capability_id,
                "tool_id": offer.tool_id,
                "provider": offer.provider,
                "cost_micro_usd": costs[offer.capability_id],
                "cost_tier": tier_in_force(offer, costs[offer.capability_id]).value,
                "needs_egress": offer.needs_egress,
                "classifications": list(offer.classifications),
            }
            for offer in offers
        ],
    }
