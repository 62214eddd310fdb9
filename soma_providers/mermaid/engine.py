"""Draws with mermaid.js in an embedded JavaScript engine; a function for child processes, which keep the engine."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Protocol
from xml.sax.saxutils import escape

from soma_providers.media.diagram.raster import inspect_and_rasterize
from soma_providers.mermaid.html_labels import labels_as_text
from soma_providers.port import Failure, FailureOrigin, ProviderError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soma_providers.media.diagram.drawing import Drawing
    from soma_providers.media.diagram.svg import Svg

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
    def render_svg(self, code: str, theme: str, config: Mapping[str, object] | None, css: str | None) -> str: ...


def draw(drawing: Drawing) -> tuple[Svg, bytes]:
    """Give the picture and its PNG; raise ProviderError with Mermaid's words when it has none."""
    from mermaidx.engines.quickjs_engine import MermaidRenderError

    try:
        text = _engine().render_svg(_shift(drawing.source), "base", _config(drawing.theme), _CSS)
    except MermaidRenderError as error:
        raise _failure(drawing, str(error)) from error
    return inspect_and_rasterize(drawing, labels_as_text(_unshift(text)), _MARGIN_PX)


@cache
def _engine() -> _Engine:
    """The engine of this process, which takes a second to start."""
    from mermaidx.engines.quickjs_engine import Engine

    engine: _Engine = Engine()
    engine.start()
    return engine


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
        return ProviderError(Failure.UNAVAILABLE, "Mermaid could not draw this diagram", origin=FailureOrigin.PLATFORM)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return ProviderError(Failure.INVALID_INPUT, f"Mermaid: {' '.join(lines)[:400]}", pointer="/source")
