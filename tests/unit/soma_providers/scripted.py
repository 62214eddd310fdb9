"""Providers that do what a test says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soma_providers.port import Artefact, InvocationResult, ProbeResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from soma_providers.port import Invocation


def picture(invocation: Invocation) -> InvocationResult:
    """A result that differs with the key."""
    content = f"{invocation.tool_id} {invocation.idempotency_key}".encode()
    return InvocationResult((Artefact(content, "image/png", "picture.png", "diagram"),), model="m-1")


class ScriptedProvider:
    """Does what its script says, and remembers what it was asked."""

    def __init__(self, provider: str, script: Callable[[Invocation], InvocationResult] = picture) -> None:
        self.provider = provider
        self.script = script
        self.invocations: list[Invocation] = []

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Run the script."""
        self.invocations.append(invocation)
        return self.script(invocation)

    async def probe(self) -> ProbeResult:
        """Always well."""
        return ProbeResult(healthy=True)

    async def aclose(self) -> None:
        """Nothing to let go of."""


class ScriptedCatalogue:
    """A catalogue of providers by adapter name."""

    def __init__(self, providers: Mapping[str, ScriptedProvider]) -> None:
        self.providers = dict(providers)

    def provider(self, adapter: str) -> ScriptedProvider | None:
        """The provider, if there is one."""
        return self.providers.get(adapter)
