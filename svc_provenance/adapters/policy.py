"""Whether policy allows full prompts to be stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.policy import PolicyUnavailable

if TYPE_CHECKING:
    from mesh.policy import Policy

FULL_PROMPT = "data.soma.provenance.store_full_prompt"


class PromptPolicy:
    """Evaluates whether full prompts of a tenant may be stored; while policy is unavailable, they may not."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    async def allows_full_prompts(self, tenant_id: str) -> bool:
        """Returns whether policy allows it."""
        try:
            return await self._policy.evaluate(FULL_PROMPT, {"tenant": {"id": tenant_id}}) is True
        except PolicyUnavailable:
            return False
