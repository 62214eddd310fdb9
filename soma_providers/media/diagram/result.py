"""Packs a drawn diagram: the sharp PNG first, then the SVG, then the source text."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from soma_providers.media.diagram.drawing import slug
from soma_providers.port import Artefact, InvocationResult, Usage

if TYPE_CHECKING:
    from soma_providers.media.diagram.drawing import Drawing
    from soma_providers.media.diagram.svg import Svg
    from soma_providers.port import JsonValue


def diagram_result(
    drawing: Drawing, svg: Svg, png: bytes, *, language: str, ending: str, model: str
) -> InvocationResult:
    """Give the three artefacts with their sizes, and what would draw them again."""
    width, height = struct.unpack(">II", png[16:24])
    stem = slug(drawing.title)
    scale = round(width / svg.width, 4)
    echo: dict[str, JsonValue] = {"scale": scale, "theme": drawing.theme, "language": language}
    pixels: dict[str, JsonValue] = {"width_px": width, "height_px": height, **echo}
    vector: dict[str, JsonValue] = {"width_px": round(svg.width, 2), "height_px": round(svg.height, 2), **echo}
    return InvocationResult(
        artefacts=(
            Artefact(png, "image/png", f"{stem}.png", "diagram", pixels),
            Artefact(svg.text.encode(), "image/svg+xml", f"{stem}.svg", "diagram", vector),
            Artefact(drawing.source.encode(), "text/plain", f"{stem}.{ending}", "text", {"language": language}),
        ),
        usage=Usage(images=1),
        model=model,
        metadata=echo,
    )
