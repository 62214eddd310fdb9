"""The Rego policy of the mesh, evaluated once for all candidates of a request."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from svc_selector.app.ports import Denial, PolicyDecision
from svc_selector.domain.candidate_rules import effective_cost_tier
from svc_selector.domain.lru_cache import WeightedLruCache

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mesh.policy import Policy
    from svc_selector.domain.model import Candidate, SelectionRequest, Subject
    from svc_selector.domain.permissions import Permissions

RULE = "data.soma.multimodal.verdicts"
MAX_CACHED = 4_096
MAX_CACHED_CANDIDATES = 200_000
"""Most candidates in all cached decisions together."""


class RegoPolicy:
    """Evaluates `soma.multimodal.verdicts` of the policy bundle.

    Decisions of a policy that cannot change are cached by their input: a lookup takes a hundredth of the time. Health
    and budget are not in the input; they are checked on every call. `profile` is that of the mesh: production, dev or
    test.
    """

    def __init__(self, policy: Policy, profile: str) -> None:
        self._policy = policy
        self._profile = profile
        self._cache: WeightedLruCache[PolicyDecision] = WeightedLruCache(MAX_CACHED, MAX_CACHED_CANDIDATES)

    @property
    def is_cacheable(self) -> bool:
        """Whether equal input gets equal decisions."""
        return self._policy.is_immutable

    async def evaluate(
        self,
        selection_request: SelectionRequest,
        subject: Subject,
        permissions: Permissions,
        candidates: Sequence[Candidate],
        costs: Mapping[str, int],
    ) -> PolicyDecision:
        """Returns the decision; a candidate that policy does not name has no entry, and is denied."""
        if not candidates:
            return PolicyDecision(self._policy.policy_id, {})
        input_ = _input(selection_request, subject, permissions, candidates, costs) | {"profile": self._profile}
        if not self._policy.is_immutable:
            return await self._query(input_)
        key = hashlib.sha256(json.dumps(input_, sort_keys=True).encode()).digest()
        decision = self._cache.get(key)
        if decision is None:
            decision = await self._query(input_)
            self._cache.put(key, decision, len(candidates))
        return decision

    async def _query(self, input_: dict[str, object]) -> PolicyDecision:
        answer = await self._policy.evaluate(RULE, input_)
        entries = answer.items() if isinstance(answer, dict) else ()
        denials = {id_: [Denial(each["code"], each["reason"]) for each in denied] for id_, denied in entries}
        return PolicyDecision(self._policy.policy_id, denials)


def _input(
    selection_request: SelectionRequest,
    subject: Subject,
    permissions: Permissions,
    candidates: Sequence[Candidate],
    costs: Mapping[str, int],
) -> dict[str, object]:
    return {
        "modality": selection_request.requirements.modality,
        "classification": subject.classification,
        "max_cost_micro_usd": selection_request.max_cost_micro_usd,
        "max_cost_tier": selection_request.max_cost_tier.value,
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
                "capability_id": candidate.capability_id,
                "tool_id": candidate.tool_id,
                "provider": candidate.provider,
                "cost_micro_usd": costs[candidate.capability_id],
                "cost_tier": effective_cost_tier(candidate, costs[candidate.capability_id]).value,
                "needs_egress": candidate.needs_egress,
                "classifications": list(candidate.classifications),
            }
            for candidate in candidates
        ],
    }
