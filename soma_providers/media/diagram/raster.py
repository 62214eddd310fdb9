"""Work on an engine's SVG that holds the interpreter, as functions for child processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soma_providers.media.diagram.svg import Svg, inspect

if TYPE_CHECKING:
    from soma_providers.media.diagram.drawing import Drawing


def inspect_and_rasterize(drawing: Drawing, text: str, margin: float) -> tuple[Svg, bytes]:
    """Give the inspected picture, `margin` wider on all sides, and its PNG."""
    svg = inspect(text, drawing.title, margin=margin)
    return svg, rasterize(svg, drawing.scale_for(svg.width, svg.height))


def rasterize(svg: Svg, scale: float) -> bytes:
    """Give a PNG on white, `scale` times the natural size."""
    from mermaidx.raster import render_png

    return bytes(render_png(svg.text, width=svg.width * scale, height=svg.height * scale, background="#ffffff"))
