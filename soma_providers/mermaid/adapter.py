"""Mermaid, run by mermaidx: mermaid.js in an embedded JavaScript engine, without a browser."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from soma_providers.media.diagram.drawing import read_drawing
from soma_providers.media.diagram.result import diagram_result
from soma_providers.mermaid.engine import draw
from soma_providers.mermaid.to_mermaid import to_mermaid
from soma_providers.port import ProbeResult, Usage

if TYPE_CHECKING:
    from soma_providers.port import EstimateRequest, Invocation, InvocationResult, Processes, Provider, ProviderContext


class Mermaid:
    """Draws flowcharts, sequences, classes and whatever else Mermaid's language knows."""

    provider = "local"

    def __init__(self, processes: Processes) -> None:
        self.capacity = processes.capacity
        self._pool = processes.pool("mermaid")

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Draw `params.diagram`, or `params.source` in Mermaid's language."""
        drawing = read_drawing(invocation, "mermaid", to_mermaid)
        svg, png = await self._pool.run(draw, drawing, tenant_id=invocation.tenant_id, time_s=invocation.timeout_s)
        return diagram_result(drawing, svg, png, language="mermaid", ending="mmd", model=_version())

    def estimate(self, request: EstimateRequest) -> Usage:  # noqa: ARG002 - a call makes one picture
        """One picture."""
        return Usage(images=1)

    async def probe(self) -> ProbeResult:
        """Say whether the engine is installed."""
        try:
            _version()
        except PackageNotFoundError:
            return ProbeResult(healthy=False, detail="mermaidx is not installed: install the extra `local`")
        return ProbeResult(healthy=True)

    async def aclose(self) -> None:
        """Nothing is kept here."""


def create(context: ProviderContext) -> Provider:
    """Build the adapter; the engine starts with the first diagram."""
    return Mermaid(context.processes)


def _version() -> str:
    return f"mermaidx {version('mermaidx')}"
