"""Vector drawings: their parts are counted and their words read without looking at pixels."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from svc_critic.adapters.heuristics.decoding import Picture, Undecodable, decode
from svc_critic.domain.judgement import Code, measurement
from svc_critic.domain.rubric import Dimension
from svc_critic.domain.scale import ramp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from svc_critic.domain.asset import EvaluationContext
    from svc_critic.domain.judgement import Measurement

MOST_BYTES = 8 * 1024 * 1024
MOST_ELEMENTS = 100_000
DRAWN_SIDE = 1_200
_MOST_ASPECT = 20
_MOST_FILTERED = 8
"""Elements with a filter: a blur costs as much as the whole picture, each time."""
_SHAPES = frozenset({"rect", "circle", "ellipse", "polygon", "path", "image", "use"})
_STROKES = frozenset({"line", "polyline", "path"})
_EDGE_CLASS = re.compile(r"\b(?:edge|link|flowchart-link|connection|relation|transition|message)", re.IGNORECASE)
_ARROW = re.compile(r"<?[-=.~]{1,3}(?:\|[^|\n]{0,200}\|)?[-=.]{0,20}>{1,2}|--[-x|o*]|\.\.\|?>", re.MULTILINE)
_FEWEST_ARROWS = 2
_BOX_NUMBERS = 4
_ENTITY = re.compile(r"<!ENTITY", re.IGNORECASE)


@dataclass(frozen=True)
class Drawing:
    """What a vector drawing is made of. `external` are addresses it would load."""

    texts: tuple[str, ...]
    shapes: int
    edges: int
    width: float
    height: float
    external: tuple[str, ...]
    nested: bool
    filtered: int = 0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to see."""
        return not self.shapes and not self.edges and not self.texts


def read_drawing(content: bytes) -> Drawing:
    """Takes a drawing apart; Undecodable when it is no SVG, or one that is made to exhaust its reader."""
    if len(content) > MOST_BYTES:
        raise Undecodable(f"the drawing is larger than {MOST_BYTES:,} bytes")
    text = content.decode("utf-8", "replace").lstrip("\ufeff \r\n\t")
    if _ENTITY.search(text):
        raise Undecodable("the drawing declares entities, which are not read")
    try:
        root = ET.parse(io.StringIO(text)).getroot()  # noqa: S314 - entities are refused above
    except ET.ParseError as error:
        raise Undecodable("the drawing is not well-formed XML") from error
    elements = list(root.iter())
    if _name(root) != "svg" or len(elements) > MOST_ELEMENTS:
        raise Undecodable(f"the drawing is not an SVG of at most {MOST_ELEMENTS:,} elements")
    return _described(root, elements)


def _described(root: ET.Element, elements: list[ET.Element]) -> Drawing:
    width, height = _size(root)
    hidden = {id(part) for element in elements if _name(element) in {"defs", "marker", "clipPath", "symbol", "mask"}
              for part in element.iter()}  # fmt: skip
    seen = [element for element in elements if id(element) not in hidden]
    return Drawing(
        texts=tuple(_texts(seen)),
        shapes=sum(_name(element) in _SHAPES for element in seen),
        edges=_edges(seen),
        width=width,
        height=height,
        external=tuple(_external(elements)),
        nested=_nested(root, elements),
        filtered=sum("filter" in element.attrib or "filter:" in element.get("style", "") for element in elements),
    )


def _texts(elements: list[ET.Element]) -> Iterator[str]:
    for element in elements:
        if _name(element) in {"text", "foreignobject"}:
            text = " ".join("".join(f" {part}" for part in element.itertext()).split())
            if text:
                yield text


def _edges(elements: list[ET.Element]) -> int:
    """Connectors: strokes with arrow heads, else groups that say they are edges, else strokes without filling."""
    marked = sum("marker-end" in element.attrib or "marker-start" in element.attrib for element in elements)
    styled = sum("marker-end" in element.get("style", "") for element in elements)
    named = sum(_name(element) == "g" and bool(_EDGE_CLASS.search(element.get("class", ""))) for element in elements)
    open_strokes = sum(
        _name(element) in _STROKES and ("fill:none" in element.get("style", "").replace(" ", "")
                                        or element.get("fill") == "none" or _name(element) == "line")
        for element in elements
    )  # fmt: skip
    return max(marked + styled, named) or open_strokes


def _external(elements: list[ET.Element]) -> Iterator[str]:
    for element in elements:
        if _name(element) == "image":
            address = next((value for key, value in element.attrib.items() if key.rpartition("}")[2] == "href"), "")
            if not address.strip().lower().startswith("data:"):
                yield address


def _nested(root: ET.Element, elements: list[ET.Element]) -> bool:
    """Whether references contain references, which can grow without bound when drawn."""
    ids = {element.get("id") for element in _holding_uses(root)} - {None}
    targets = {
        value.lstrip("#")
        for element in elements
        if _name(element) == "use"
        for key, value in element.attrib.items()
        if key.rpartition("}")[2] == "href"
    }
    return bool(ids & targets)


def _holding_uses(root: ET.Element) -> Iterator[ET.Element]:
    """Elements with a reference somewhere within them, found in one pass from the leaves to the root."""
    parents = {child: parent for parent in root.iter() for child in parent}
    found: set[ET.Element] = set()
    for element in root.iter():
        above = parents.get(element) if _name(element) == "use" else None
        while above is not None and above not in found:
            found.add(above)
            yield above
            above = parents.get(above)


def _size(root: ET.Element) -> tuple[float, float]:
    box = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", root.get("viewBox", ""))]
    sides = [_pixels(root.get(name, "")) for name in ("width", "height")]
    if len(box) == _BOX_NUMBERS:
        sides = [side or own for side, own in zip(sides, box[2:], strict=True)]
    if min(sides) <= 0:
        raise Undecodable("the drawing has no size")
    return sides[0], sides[1]


def _pixels(value: str) -> float:
    number = re.fullmatch(r"\s*(\d+(?:\.\d+)?)(px|pt)?\s*", value)
    return float(number.group(1)) if number else 0.0


def _name(element: ET.Element) -> str:
    return str(element.tag).rpartition("}")[2].lower()


def paint(content: bytes, drawing: Drawing) -> Picture | None:
    """The drawing as pixels on white; None for one that loads from elsewhere, multiplies itself or has many filters."""
    if drawing.external or drawing.nested or drawing.filtered > _MOST_FILTERED:
        return None
    from mermaidx.raster import render_png

    scale = DRAWN_SIDE / max(drawing.width, drawing.height)
    short = min(drawing.width, drawing.height) * scale
    if short * _MOST_ASPECT < DRAWN_SIDE:
        return None
    try:
        png = render_png(
            content.decode("utf-8", "replace"),
            width=drawing.width * scale,
            height=drawing.height * scale,
            background="#ffffff",
        )
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        raise Undecodable("the drawing cannot be drawn") from error
    return decode(bytes(png))


def examine_drawing(drawing: Drawing, context: EvaluationContext) -> Iterator[Measurement]:
    """Facets of what a drawing is made of, against the labels and the arrows of the source that was asked for."""
    labels = len(dict.fromkeys(context.expected_labels))
    if labels:
        evidence = f"{drawing.shapes} shapes for {labels} labels"
        message = f"The drawing has {drawing.shapes} shapes for {labels} labels; draw every part."
        score = ramp(drawing.shapes / labels, 0.2, 0.9)
        yield measurement(
            Dimension.RELEVANCE, score, evidence, Code.MISSING_ELEMENT, message, hint={"elements": labels}
        )
    arrows = len(_ARROW.findall(context.request))
    if arrows >= _FEWEST_ARROWS:
        evidence = f"{drawing.edges} edges for {arrows} arrows of the source"
        message = f"The drawing has {drawing.edges} edges, its source {arrows} arrows; draw every edge."
        yield measurement(
            Dimension.RELEVANCE, ramp(drawing.edges / arrows, 0.2, 0.8), evidence, Code.MISSING_ELEMENT, message,
            hint={"edges": arrows},
        )  # fmt: skip
    if drawing.external:
        message = "The drawing loads pictures from elsewhere; embed them."
        yield measurement(
            Dimension.CLARITY, 0.4, f"{len(drawing.external)} pictures are not embedded", Code.MISSING_FIGURE, message
        )
