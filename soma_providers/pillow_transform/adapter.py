"""Changes pictures with Pillow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soma_providers.pillow_transform.transform import transform
from soma_providers.port import InputArtefact, ProbeResult, Usage, invalid_input

if TYPE_CHECKING:
    from soma_providers.port import EstimateRequest, Invocation, InvocationResult, Processes, Provider, ProviderContext

_MAX_BYTES = 50 * 1024 * 1024
_MEMORY_MB = 1_024


class PillowTransform:
    """Resizes, crops, turns, captions and converts one picture."""

    provider = "local"

    def __init__(self, processes: Processes) -> None:
        self.capacity = processes.capacity
        self._pool = processes.pool("pillow_transform", memory_mb=_MEMORY_MB)

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Apply `params.operations` in order to the input, and write it as `params.format` (png, jpeg, webp)."""
        return await self._pool.run(
            transform, invocation.params, _source(invocation), invocation.feedback,
            tenant_id=invocation.tenant_id, time_s=invocation.timeout_s,
        )  # fmt: skip

    def estimate(self, request: EstimateRequest) -> Usage:  # noqa: ARG002 - a call makes one picture
        """One picture."""
        return Usage(images=1)

    async def probe(self) -> ProbeResult:
        """Always healthy: the library comes with the service."""
        return ProbeResult(healthy=True)

    async def aclose(self) -> None:
        """Nothing is kept here."""


def create(context: ProviderContext) -> Provider:
    """Build the adapter."""
    return PillowTransform(context.processes)


def _source(invocation: Invocation) -> InputArtefact:
    pictures = [given for given in invocation.inputs.values() if isinstance(given, InputArtefact)]
    if len(pictures) != 1:
        raise invalid_input("/source", f"must name one picture of an earlier step; {len(pictures)} were given")
    if len(pictures[0].content) > _MAX_BYTES:
        raise invalid_input("/source", "is larger than 50 MB")
    return pictures[0]
