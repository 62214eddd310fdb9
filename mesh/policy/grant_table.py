"""Every action of the mesh with all who may perform it, as the policy itself answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.contexts import ROLES, SERVICE, owners
from mesh.policy.authorization import ALLOW

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mesh.contexts import ContextDeclaration
    from mesh.policy.embedded import EmbeddedRego

NEVER, WITHIN_ROLES, ALWAYS = "never", "as the subject's roles allow", "always"
"""What a service may do on behalf of a subject."""
_ACTOR = "actor"


@dataclass(frozen=True)
class GrantRow:
    """An action and who may perform it."""

    action: str
    granted_by: str
    """The context that grants it; empty where none does."""
    roles: tuple[str, ...]
    """Roles that may perform it for themselves, `service` last."""
    on_behalf: str
    """`NEVER`, `WITHIN_ROLES` or `ALWAYS`."""
    methods: tuple[str, ...]
    """Full names of the methods that require it."""

    @property
    def is_denied_to_all(self) -> bool:
        """Whether nobody may ever call the methods."""
        return not self.roles and self.on_behalf == NEVER


def grant_table(
    contexts: Iterable[ContextDeclaration], required: Mapping[str, Mapping[str, str]], policy: EmbeddedRego
) -> list[GrantRow]:
    """A row for each action that a method of the contexts requires, ordered by action."""
    contexts = list(contexts)
    granted_by = {action: context.name for context in contexts for action in context.grants}
    methods: dict[str, list[str]] = {}
    for package in owners(contexts):
        for method, action in required.get(package, {}).items():
            methods.setdefault(action, []).append(method)
    return [
        GrantRow(
            action, granted_by.get(action, ""), _roles(policy, action), _on_behalf(policy, action), tuple(sorted(names))
        )
        for action, names in sorted(methods.items())
    ]


def _roles(policy: EmbeddedRego, action: str) -> tuple[str, ...]:
    return tuple(role for role in (*ROLES, SERVICE) if _is_allowed(policy, action, role))


def _on_behalf(policy: EmbeddedRego, action: str) -> str:
    if _is_allowed(policy, action, actor=_ACTOR):
        return ALWAYS
    return WITHIN_ROLES if any(_is_allowed(policy, action, role, actor=_ACTOR) for role in ROLES) else NEVER


def _is_allowed(policy: EmbeddedRego, action: str, *roles: str, actor: str = "") -> bool:
    input_ = {"action": action, "subject": "s", "roles": list(roles), "scopes": [], "tenant": "t", "actor": actor}
    return policy.evaluate_sync(ALLOW, input_) is True
