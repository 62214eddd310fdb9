"""Policy over all offers in one evaluation."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import TYPE_CHECKING

from svc_selector.domain.ports import Denial

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mesh.policy import Policy
    from svc_selector.domain.model import Ask, Offer, Subject

RULE = "data.soma.multimodal.verdicts"
KEPT = 4_096


class RegoVerdicts:
    """Asks the bundle's `soma.multimodal.verdicts`.

    A policy that cannot change gives equal input equal verdicts, so these are kept: evaluating takes a hundred times
    as long as looking up. Health and budget are not in the input, they are judged on every call.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._kept: OrderedDict[str, Mapping[str, Sequence[Denial]]] = OrderedDict()

    @property
    def policy_id(self) -> str:
        """Digest of the bundle."""
        return self._policy.policy_id

    @property
    def fixed(self) -> bool:
        """Whether equal input gets equal verdicts."""
        return self._policy.fixed

    def verdicts(
        self, ask: Ask, subject: Subject, plan: str, offers: Sequence[Offer], costs: Mapping[str, int]
    ) -> Mapping[str, Sequence[Denial]]:
        """Denials by capability id; what policy does not name is absent, and so denied."""
        asked = _input(ask, subject, plan, offers, costs)
        if not self._policy.fixed:
            return self._ask(asked)
        key = json.dumps(asked, sort_keys=True)
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = self._ask(asked)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found

    def _ask(self, asked: dict[str, object]) -> Mapping[str, Sequence[Denial]]:
        answer = self._policy.evaluate(RULE, asked)
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
