"""The policy that the rest of the mesh asks."""

from __future__ import annotations

import asyncio
from importlib import resources
from typing import TYPE_CHECKING, Self

from mesh.policy.bundle import Bundle
from mesh.policy.central import CentralOpa
from mesh.policy.embedded import EmbeddedRego

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh.policy.evaluator import Evaluator
    from mesh.settings import PolicySettings

_PACKAGED = "policy"


class Policy:
    """The policy of the mesh. Whoever asks denies when it raises PolicyUnavailable."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    @classmethod
    def load(cls, settings: PolicySettings) -> Policy:
        """The central OPA when one is set, else the bundle of `bundle_dir` or the packaged one."""
        if settings.opa_url is not None:
            return cls(CentralOpa(settings.opa_url))
        return cls(EmbeddedRego(Bundle.read(settings.bundle_dir or resources.files(_PACKAGED))))

    def __enter__(self) -> Self:
        """Use until the block ends."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close what the evaluator holds."""
        self.close()

    def close(self) -> None:
        """Close what the evaluator holds."""
        self._evaluator.close()

    @property
    def policy_id(self) -> str:
        """Digest of the policy that answers now."""
        return self._evaluator.policy_id()

    @property
    def fixed(self) -> bool:
        """Whether equal input gets equal answers for as long as this object lives."""
        return not self._evaluator.blocking

    def evaluate(self, rule: str, input_: Mapping[str, object], /) -> object:
        """The value of a rule such as `data.soma.authz.allow`, as plain data; PolicyUnavailable without one.

        Takes well under a millisecond in-process. With a central OPA it waits for the network: use `ask` in coroutines.
        """
        return self._evaluator.evaluate(rule, input_)

    async def ask(self, rule: str, input_: Mapping[str, object]) -> object:
        """Like `evaluate`, without holding up the event loop."""
        if self._evaluator.blocking:
            return await asyncio.to_thread(self._evaluator.evaluate, rule, input_)
        return self._evaluator.evaluate(rule, input_)
