"""Policy over all candidates in one evaluation."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from svc_selector.app.ports import Denial, Verdicts
from svc_selector.domain.bounded import BoundedCache
from svc_selector.domain.candidate_rules import tier_in_force

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mesh.policy import Policy
    from svc_selector.domain.model import Candidate, SelectionRequest, Subject
    from svc_selector.domain.permissions import Permissions

RULE = "data.soma.multimodal.verdicts"
MAX_CACHED = 4_096
MAX_CACHED_CANDIDATES = 200_000
"""Candidates in all verdicts that are kept, together."""


class RegoVerdicts:
    """Asks the bundle's `soma.multimodal.verdicts`.

    A policy that cannot change gives equal input equal verdicts, so these are kept: evaluating takes a hundred times
    as long as looking up. Health and budget are not in the input, they are judged on every call. `profile` is the one
    that the mesh runs in: production, dev or test.
    """

    def __init__(self, policy: Policy, profile: str) -> None:
        self._policy = policy
        self._profile = profile
        self._cache: BoundedCache[Verdicts] = BoundedCache(MAX_CACHED, MAX_CACHED_CANDIDATES)

    @property
    def fixed(self) -> bool:
        """Whether equal input gets equal verdicts."""
        return self._policy.fixed

    async def verdicts(
        self,
        selection_request: SelectionRequest,
        subject: Subject,
        permissions: Permissions,
        candidates: Sequence[Candidate],
        costs: Mapping[str, int],
    ) -> Verdicts:
        """The verdicts; what policy does not name is absent, and so denied."""
        if not candidates:
            return Verdicts(self._policy.policy_id, {})
        input_ = _input(selection_request, subject, permissions, candidates, costs) | {"profile": self._profile}
        if not self._policy.fixed:
            return await self._evaluate(input_)
        key = hashlib.sha256(json.dumps(input_, sort_keys=True).encode()).digest()
        found = self._cache.get(key)
        if found is None:
            found = await self._evaluate(input_)
            self._cache.put(key, found, len(candidates))
        return found

    async def _evaluate(self, input_: dict[str, object]) -> Verdicts:
        answer = await self._policy.ask(RULE, input_)
        given = answer.items() if isinstance(answer, dict) else ()
        denials = {id_: [Denial(item["code"], item["reason"]) for item in denied] for id_, denied in given}
        return Verdicts(self._policy.policy_id, denials)


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
                "cost_tier": tier_in_force(candidate, costs[candidate.capability_id]).value,
                "needs_egress": candidate.needs_egress,
                "classifications": list(candidate.classifications),
            }
            for candidate in candidates
        ],
    }
