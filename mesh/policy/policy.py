"""The policy that the rest of the mesh asks."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack, suppress
from importlib import resources
from typing import TYPE_CHECKING, Self

from mesh.clock import SystemClock
from mesh.lifecycle import background
from mesh.policy.bundle import Bundle
from mesh.policy.central import CentralOpa
from mesh.policy.embedded import EmbeddedRego
from mesh.policy.evaluator import PolicyUnavailable
from mesh.policy.grants import installed_grants

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

    from mesh.clock import Clock
    from mesh.policy.evaluator import Evaluator
    from mesh.settings import PolicySettings

_PACKAGED = "policy"
_log = logging.getLogger(__name__)


class Policy:
    """The policy of the mesh, while entered. Callers deny when it raises PolicyUnavailable.

    Coroutines use `evaluate`, which awaits a central OPA without blocking the event loop, and `policy_id`, which is
    what OPA reported last, at most 5 seconds ago while it answers.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._stack = AsyncExitStack()

    @classmethod
    def load(cls, settings: PolicySettings, clock: Clock | None = None) -> Policy:
        """The central OPA when one is set, else the bundle of `bundle_dir` or the packaged one.

        A bundle gets what the installed contexts grant as data. Wherever policy is evaluated, a grant that no context
        may make is an InvalidContextError.
        """
        grants = installed_grants()
        if settings.opa_url is not None:
            return cls(CentralOpa(settings.opa_url, clock or SystemClock()))
        return cls(EmbeddedRego(Bundle.read(settings.bundle_dir or packaged(), grants)))

    async def __aenter__(self) -> Self:
        """Use until the block ends. A central OPA may be away meanwhile, and at the start."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._evaluator.close)
            if isinstance(self._evaluator, CentralOpa):
                with suppress(PolicyUnavailable):
                    await self._evaluator.refresh()
                await stack.enter_async_context(background(self._evaluator.follow, "policy-id"))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close what the evaluator holds."""
        await self._stack.aclose()

    @property
    def policy_id(self) -> str:
        """Digest of the policy that answers now; PolicyUnavailable when a central OPA has never told it."""
        return self._evaluator.policy_id

    @property
    def is_immutable(self) -> bool:
        """Whether equal input gets equal answers for as long as this object lives."""
        return self._evaluator.is_immutable

    async def evaluate(self, rule: str, input_: Mapping[str, object], /) -> object:
        """The value of a rule such as `data.soma.authz.allow`, as plain data; PolicyUnavailable without one."""
        return await self._evaluator.evaluate(rule, input_)

    def evaluate_sync(self, rule: str, input_: Mapping[str, object], /) -> object:
        """Like `evaluate`, in this process; PolicyUnavailable where a central OPA evaluates policy."""
        if not isinstance(self._evaluator, EmbeddedRego):
            _log.error("policy rule %s is evaluated by a central OPA, and may only be asked for", rule)
            raise PolicyUnavailable
        return self._evaluator.evaluate_sync(rule, input_)


def packaged() -> Traversable:
    """The folder of the policy that comes with the mesh."""
    return resources.files(_PACKAGED)
