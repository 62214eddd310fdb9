"""Mermaid, run by mermaidx: mermaid.js in an embedded JavaScript engine, without a browser."""

from __future__ import annotations

import asyncio
import re
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Protocol
from xml.sax.saxutils import escape

from svc_executor.adapters.providers.diagram.drawing import Drawing, read_drawing
from svc_executor.adapters.providers.diagram.html_labels import labels_as_text
from svc_executor.adapters.providers.diagram.result import diagram_result
from svc_executor.adapters.providers.diagram.svg import Svg, inspect, rasterise
from svc_executor.adapters.providers.diagram.to_mermaid import to_mermaid
from svc_executor.adapters.providers.offload import Worker
from svc_executor.domain.provider import Failure, Fault, ProbeResult, ProviderError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from svc_executor.domain.provider import Invocation, InvocationResult, Provider, ProviderContext

_COLOURS = {
    "default": {
        "primaryColor": "#e8f0fe", "primaryBorderColor": "#3b6fb6", "primaryTextColor": "#1f2937",
        "lineColor": "#475569", "textColor": "#1f2937", "clusterBkg": "#f8fafc", "clusterBorder": "#94a3b8",
    },
    "neutral": {
        "primaryColor": "#ffffff", "primaryBorderColor": "#000000", "primaryTextColor": "#000000",
        "lineColor": "#000000", "textColor": "#000000", "clusterBkg": "#ffffff", "clusterBorder": "#000000",
    },
}  # fmt: skip
_MARGIN_PX = 12
_CSS = ".edgeLabel, .edgeLabel p, .labelBkg { background-color: #ffffff !important; }"
# Characters that mermaid.js would take for syntax travel through it in the private use area and come back afterwards.
_SHIFT = 0xE000
_SHIFTED_END = 0x1900
_ENTITY = re.compile(r"#(\d{1,5});")
_SHIFTED = re.compile(f"[\\u{_SHIFT:04x}-\\u{_SHIFT + _SHIFTED_END - 1:04x}]")
_QUOTES = {'"': "&quot;"}
_DOUBLE_ESCAPE = re.compile(r"&amp;(#\d+|quot|lt|gt|amp);")


class _Engine(Protocol):
    def start(self) -> None: ...
    def close(self) -> None: ...
    def render_svg(self, code: str, theme: str, config: Mapping[str, object] | None, css: str | None) -> str: ...


class Mermaid:
    """Draws flowcharts, sequences, classes and whatever else Mermaid's language knows."""

    provider = "local"

    def __init__(self) -> None:
        self._worker = Worker("mermaid")
        self._engine: _Engine | None = None

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Draw `params.diagram`, or `params.source` in Mermaid's language."""
        drawing = read_drawing(invocation, "mermaid", to_mermaid)
        svg, png = await self._worker.run(invocation.timeout_s, self._draw, drawing)
        return diagram_result(drawing, svg, png, language="mermaid", ending="mmd", model=_version())

    async def probe(self) -> ProbeResult:
        """Say whether the engine is installed."""
        try:
            _version()
        except PackageNotFoundError:
            return ProbeResult(healthy=False, detail="mermaidx is not installed: install the extra `local`")
        return ProbeResult(healthy=True)

    async def aclose(self) -> None:
        """Stop the engine."""
        self._worker.close()
        engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.to_thread(engine.close)

    def _draw(self, drawing: Drawing) -> tuple[Svg, bytes]:
        from mermaidx.engines.quickjs_engine import MermaidRenderError

        try:
            text = self._started().render_svg(_shift(drawing.source), "base", _config(drawing.theme), _CSS)
        except MermaidRenderError as error:
            raise _failure(drawing, str(error)) from error
        svg = inspect(labels_as_text(_unshift(text)), drawing.title, margin=_MARGIN_PX)
        return svg, rasterise(svg, drawing.scale_for(svg.width, svg.height))

    def _started(self) -> _Engine:
        if self._engine is None:
            from mermaidx.engines.quickjs_engine import Engine

            engine: _Engine = Engine()
            engine.start()
            self._engine = engine
        return self._engine


def create(_context: ProviderContext) -> Provider:
    """Build the adapter; the engine starts with the first diagram."""
    return Mermaid()


def _version() -> str:
    return f"mermaidx {version('mermaidx')}"


def _config(theme: str) -> Mapping[str, object]:
    font = "DejaVu Sans, Verdana, sans-serif"
    return {
        "theme": "base",
        "securityLevel": "strict",
        "handDrawnSeed": 1,
        "deterministicIds": True,
        "fontFamily": font,
        "flowchart": {"useMaxWidth": False, "padding": 14, "nodeSpacing": 40, "rankSpacing": 55},
        "class": {"useMaxWidth": False},
        "sequence": {"useMaxWidth": False, "mirrorActors": False, "bottomMarginAdj": 20},
        "themeVariables": {
            **_COLOURS[theme], "fontFamily": font, "fontSize": "15px", "edgeLabelBackground": "#ffffff",
            "titleColor": _COLOURS[theme]["textColor"],
        },
    }  # fmt: skip


def _shift(source: str) -> str:
    def move(entity: re.Match[str]) -> str:
        point = int(entity.group(1))
        return chr(_SHIFT + point) if point < _SHIFTED_END else entity.group(0)

    return _ENTITY.sub(move, source)


def _unshift(svg: str) -> str:
    svg = _DOUBLE_ESCAPE.sub(r"&\1;", svg)
    return _SHIFTED.sub(lambda found: escape(chr(ord(found.group(0)) - _SHIFT), _QUOTES), svg)


def _failure(drawing: Drawing, text: str) -> ProviderError:
    if not drawing.raw:
        return ProviderError(Failure.UNAVAILABLE, "Mermaid could not draw this diagram", fault=Fault.PLATFORM)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return ProviderError(Failure.INVALID_INPUT, f"Mermaid: {' '.join(lines)[:400]}", pointer="/source")
