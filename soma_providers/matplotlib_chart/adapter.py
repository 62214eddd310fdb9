"""Charts by Matplotlib."""

from __future__ import annotations

import struct
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from soma_providers.matplotlib_chart.model import as_csv, parse_chart
from soma_providers.matplotlib_chart.rendering import WIDTH_IN, render
from soma_providers.media.diagram.drawing import THEMES, slug
from soma_providers.media.feedback import CONTRAST, SHARPER, has_code, max_hint
from soma_providers.media.params import Params
from soma_providers.port import Artefact, InvocationResult, ProbeResult, Usage

if TYPE_CHECKING:
    from soma_providers.port import EstimateRequest, Invocation, JsonValue, Processes, Provider, ProviderContext

_DEFAULT_DPI = 200.0
_MAX_DPI = 600.0


class MatplotlibChart:
    """Paints bars, lines, points and pies, the same bytes for the same data."""

    provider = "local"

    def __init__(self, processes: Processes) -> None:
        self.capacity = processes.capacity
        self._pool = processes.pool("matplotlib_chart")

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Paint `params.chart`."""
        params = Params(invocation.params)
        chart = parse_chart(params.values.get("chart"))
        theme = "neutral" if has_code(invocation.feedback, CONTRAST) else params.choice("theme", THEMES, "default")
        dpi = _dpi(invocation, params)
        rendered = await self._pool.run(
            render, chart, theme, dpi, tenant_id=invocation.tenant_id, time_s=invocation.timeout_s
        )
        width, height = struct.unpack(">II", rendered.png[16:24])
        echo: dict[str, JsonValue] = {"dpi": dpi, "theme": theme, "kind": chart.kind}
        size: dict[str, JsonValue] = {"width_px": width, "height_px": height, **echo}
        stem = slug(chart.title or "chart")
        return InvocationResult(
            artefacts=(
                Artefact(rendered.png, "image/png", f"{stem}.png", "diagram", size),
                Artefact(rendered.svg, "image/svg+xml", f"{stem}.svg", "diagram", echo),
                Artefact(as_csv(chart).encode(), "text/csv", f"{stem}.csv", "data"),
            ),
            usage=Usage(images=1),
            model=f"matplotlib {version('matplotlib')}",
            metadata=echo,
        )

    def estimate(self, request: EstimateRequest) -> Usage:  # noqa: ARG002 - a call makes one picture
        """One picture."""
        return Usage(images=1)

    async def probe(self) -> ProbeResult:
        """Say whether Matplotlib is installed."""
        try:
            version("matplotlib")
        except PackageNotFoundError:
            return ProbeResult(healthy=False, detail="matplotlib is not installed: install the extra `local`")
        return ProbeResult(healthy=True)

    async def aclose(self) -> None:
        """Nothing is kept here."""


def create(context: ProviderContext) -> Provider:
    """Build the adapter."""
    return MatplotlibChart(context.processes)


def _dpi(invocation: Invocation, params: Params) -> float:
    """Give the resolution: `dpi`, or `scale` times 100, raised to what the critic asked for."""
    scale = params.number("scale", _DEFAULT_DPI / 100, low=0.1, high=_MAX_DPI / 100)
    dpi = params.number("dpi", scale * 100, low=10, high=_MAX_DPI)
    if has_code(invocation.feedback, SHARPER):
        dpi = max(dpi, _DEFAULT_DPI)
    wanted = max_hint(invocation.feedback, "min_width_px") / WIDTH_IN
    return min(_MAX_DPI, max(dpi, -(-wanted // 1)))
