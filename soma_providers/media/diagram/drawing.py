"""Reads what to draw and how large from an invocation, alike for all diagram engines."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from soma_providers.media.diagram.parse import parse
from soma_providers.media.feedback import CONTRAST, SHARPER, has_code, max_hint
from soma_providers.media.params import Params

if TYPE_CHECKING:
    from collections.abc import Callable

    from soma_providers.media.diagram.model import Diagram
    from soma_providers.port import Invocation

DEFAULT_SCALE = 2.0
MAX_SCALE = 8.0
MAX_SIDE_PX = 8192
MAX_PIXELS = 40_000_000
MAX_SOURCE_CHARS = 50_000
_RESOLUTION = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")
THEMES = ("default", "neutral")


@dataclass(frozen=True)
class Limits:
    """Pixels that a step wants at least, and may have at most."""

    wanted_width: float
    wanted_height: float
    max_width: float
    max_height: float


@dataclass(frozen=True)
class Drawing:
    """A diagram's source text, and the wishes about its picture; `raw` when the caller wrote the source."""

    source: str
    raw: bool
    title: str
    theme: str
    scale: float
    min_width_px: float
    min_height_px: float
    max_width_px: float
    max_height_px: float

    def scale_for(self, width: float, height: float) -> float:
        """Give the factor for a picture of this natural size: at least the minima, never beyond the bounds."""
        wanted = max(self.scale, self.min_width_px / width, self.min_height_px / height)
        bound = min(self.max_width_px / width, self.max_height_px / height, math.sqrt(MAX_PIXELS / (width * height)))
        return min(wanted, bound)


def read_drawing(invocation: Invocation, language: str, write: Callable[[Diagram], str]) -> Drawing:
    """Read `diagram`, or `source` with `language`, and the size; raise ProviderError(INVALID_INPUT)."""
    params = Params(invocation.params)
    source, title, raw = _source(params, invocation, language, write)
    scale = params.number("scale", DEFAULT_SCALE, low=0.1, high=MAX_SCALE)
    if has_code(invocation.feedback, SHARPER):
        scale = max(scale, DEFAULT_SCALE)
    limits = read_limits(invocation, wanted=not params.has("scale"))
    return Drawing(
        source=source,
        raw=raw,
        title=title,
        theme="neutral" if has_code(invocation.feedback, CONTRAST) else params.choice("theme", THEMES, "default"),
        scale=scale,
        min_width_px=max_hint(invocation.feedback, "min_width_px", limits.wanted_width),
        min_height_px=max_hint(invocation.feedback, "min_height_px", limits.wanted_height),
        max_width_px=limits.max_width,
        max_height_px=limits.max_height,
    )


def slug(title: str) -> str:
    """Give a file name's stem made from a title."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60] or "diagram"


def read_limits(invocation: Invocation, *, wanted: bool) -> Limits:
    """Read the step's `width_px`, `height_px` (if `wanted`) and `max_resolution` such as "1920x1080"."""
    constraints = Params(invocation.constraints, "/constraints")
    found = _RESOLUTION.fullmatch(constraints.text("max_resolution", "", max_chars=20))
    sides = [float(side) for side in found.groups()] if found else []
    width, height = [side or MAX_SIDE_PX for side in sides] or [MAX_SIDE_PX, MAX_SIDE_PX]
    return Limits(
        wanted_width=constraints.number("width_px", 0, low=0, high=MAX_SIDE_PX) if wanted else 0,
        wanted_height=constraints.number("height_px", 0, low=0, high=MAX_SIDE_PX) if wanted else 0,
        max_width=min(width, MAX_SIDE_PX),
        max_height=min(height, MAX_SIDE_PX),
    )


def _source(
    params: Params, invocation: Invocation, language: str, write: Callable[[Diagram], str]
) -> tuple[str, str, bool]:
    if params.has("diagram"):
        if params.has("source"):
            raise params.error("source", "must not be given together with diagram")
        diagram = parse(params.values["diagram"])
        return write(diagram), diagram.title, False
    if not params.has("source"):
        raise params.error("diagram", "is required, or source with its language")
    meant = Params(invocation.constraints, "/constraints").text("source_language", language, max_chars=32)
    if params.text("language", meant, max_chars=32) != language:
        raise params.error("language", f"must be {language} for this engine; give a diagram to leave the engine open")
    return params.text("source", max_chars=MAX_SOURCE_CHARS), params.label("title", ""), True
