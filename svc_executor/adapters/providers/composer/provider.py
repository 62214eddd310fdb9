"""The adapter: a document composer as a provider, `document_composer@local`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from svc_executor.adapters.providers.composer.writing import make
from svc_executor.domain.provider import ProbeResult

if TYPE_CHECKING:
    from svc_executor.domain.processes import Processes
    from svc_executor.domain.provider import Invocation, InvocationResult, Provider, ProviderContext

_MEMORY_MB = 1_024


class Composer:
    """Composes in child processes, since layout keeps a core busy."""

    provider = "local"

    def __init__(self, processes: Processes) -> None:
        self.capacity = processes.capacity
        self._pool = processes.pool("composer", memory_mb=_MEMORY_MB)

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Compose `params` (see `docs/documents.md`) from the inputs that they name."""
        return await self._pool.run(
            make, invocation.params, invocation.inputs, tenant_id=invocation.tenant_id, time_s=invocation.timeout_s
        )

    async def probe(self) -> ProbeResult:
        """Always healthy: all it needs is in the base installation."""
        return ProbeResult(healthy=True)

    async def aclose(self) -> None:
        """Nothing is kept here."""


def create(context: ProviderContext) -> Provider:
    """Build the adapter; fonts and templates are read with the first document."""
    return Composer(context.processes)
