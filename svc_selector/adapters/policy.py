"""Policy over all offers in one evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_selector.domain.ports import Denial

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mesh.policy import Policy
    from svc_selector.domain.model import Ask, Offer, Subject

RULE = "data.soma.multimodal.verdicts"


class RegoVerdicts:
    """Asks the bundle's `soma.multimodal.verdicts`."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    @property
    def policy_id(self) -> str:
        """Digest of the bundle."""
        return self._policy.policy_id

    def verdicts(
        self, ask: Ask, subject: Subject, plan: str, offers: Sequence[Offer], costs: Mapping[str, int]
    ) -> Mapping[str, Sequence[Denial]]:
        """Denials by capability id; what policy does not name is absent, and so denied."""
        answer = self._policy.evaluate(RULE, _input(ask, subject, plan, offers, costs))
        if not isinstance(answer, dict):
            return {}
        return {id_: [Denial(item["code"], item["reason"]) for item in denied] for id_, denied in answer.items()}


def _input(
    ask: Ask, subject: Subject, plan: str, offers: Sequence[Offer], costs: Mapping[str, int]
) -> dict[str, object]:
    return {
        "modality": ask.need.modality,
        "classification": subject.classification,
        "max_cost_micro_usd": ask.max_cost_micro_usd,
        "tenant": {"id": subject.tenant_id, "plan": plan, "permissions": {}},
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
                "needs_egress": offer.needs_egress,
                "classifications": list(offer.classifications),
            }
            for offer in offers
        ],
    }
