"""SVG drawings: their elements are counted and their texts read without rasterizing them."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from svc_critic.adapters.heuristics.decoding import Picture, UndecodableError, decode
from svc_critic.domain.rubric import Dimension
from svc_critic.domain.scale import linear_score
from svc_critic.domain.scoring import FeedbackCode, measurement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from svc_critic.domain.asset import EvaluationContext
    from svc_critic.domain.scoring import Measurement

MAX_BYTES = 8 * 1024 * 1024
MAX_ELEMENTS = 100_000
RASTER_SIDE_PX = 1_200
_MAX_ASPECT = 20
_MAX_FILTERS = 8
"""Most elements with a filter that are rasterized: each blur costs as much as the whole picture."""
_SHAPES = frozenset({"rect", "circle", "ellipse", "polygon", "path", "image", "use"})
_STROKES = frozenset({"line", "polyline", "path"})
_EDGE_CLASS = re.compile(r"\b(?:edge|link|flowchart-link|connection|relation|transition|message)", re.IGNORECASE)
_ARROW = re.compile(r"<?[-=.~]{1,3}(?:\|[^|\n]{0,200}\|)?[-=.]{0,20}>{1,2}|--[-x|o*]|\.\.\|?>", re.MULTILINE)
_MIN_ARROWS = 2
_VIEW_BOX_NUMBERS = 4
_ENTITY = re.compile(r"<!ENTITY", re.IGNORECASE)


@dataclass(frozen=True)
class Drawing:
    """The elements of an SVG. `external_urls` are what it would load; `has_nested_uses`, see `_has_nested_uses`."""

    texts: tuple[str, ...]
    shapes: int
    edges: int
    width: float
    height: float
    external_urls: tuple[str, ...]
    has_nested_uses: bool
    filter_count: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is visible."""
        return not self.shapes and not self.edges and not self.texts


def parse_svg(content: bytes) -> Drawing:
    """Parses a drawing; raises UndecodableError when it is no SVG, or one that would exhaust the parser."""
    if len(content) > MAX_BYTES:
        raise UndecodableError(f"the drawing is larger than {MAX_BYTES:,} bytes")
    text = content.decode("utf-8", "replace").lstrip("\ufeff \r\n\t")
    if _ENTITY.search(text):
        raise UndecodableError("the drawing declares entities, which are not read")
    try:
        root = ET.parse(io.StringIO(text)).getroot()  # noqa: S314 - entities are refused parent
    except ET.ParseError as error:
        raise UndecodableError("the drawing is not well-formed XML") from error
    elements = list(root.iter())
    if _name(root) != "svg" or len(elements) > MAX_ELEMENTS:
        raise UndecodableError(f"the drawing is not an SVG of at most {MAX_ELEMENTS:,} elements")
    return _drawing(root, elements)


def _drawing(root: ET.Element, elements: list[ET.Element]) -> Drawing:
    width, height = _size(root)
    hidden = {id(part) for element in elements if _name(element) in {"defs", "marker", "clipPath", "symbol", "mask"}
              for part in element.iter()}  # fmt: skip
    visible = [element for element in elements if id(element) not in hidden]
    return Drawing(
        texts=tuple(_texts(visible)),
        shapes=sum(_name(element) in _SHAPES for element in visible),
        edges=_edges(visible),
        width=width,
        height=height,
        external_urls=tuple(_external_urls(elements)),
        has_nested_uses=_has_nested_uses(root, elements),
        filter_count=sum("filter" in element.attrib or "filter:" in element.get("style", "") for element in elements),
    )


def _texts(elements: list[ET.Element]) -> Iterator[str]:
    for element in elements:
        if _name(element) in {"text", "foreignobject"}:
            text = " ".join("".join(f" {part}" for part in element.itertext()).split())
            if text:
                yield text


def _edges(elements: list[ET.Element]) -> int:
    """Counts edges: strokes with arrow heads, or groups with the class of an edge; else strokes without filling."""
    marked = sum("marker-end" in element.attrib or "marker-start" in element.attrib for element in elements)
    styled = sum("marker-end" in element.get("style", "") for element in elements)
    named = sum(_name(element) == "g" and bool(_EDGE_CLASS.search(element.get("class", ""))) for element in elements)
    open_strokes = sum(
        _name(element) in _STROKES and ("fill:none" in element.get("style", "").replace(" ", "")
                                        or element.get("fill") == "none" or _name(element) == "line")
        for element in elements
    )  # fmt: skip
    return max(marked + styled, named) or open_strokes


def _external_urls(elements: list[ET.Element]) -> Iterator[str]:
    for element in elements:
        if _name(element) == "image":
            address = next((value for key, value in element.attrib.items() if key.rpartition("}")[2] == "href"), "")
            if not address.strip().lower().startswith("data:"):
                yield address


def _has_nested_uses(root: ET.Element, elements: list[ET.Element]) -> bool:
    """Whether a `use` refers to an element that contains a `use`: these can grow exponentially when drawn."""
    ids = {element.get("id") for element in _elements_with_uses(root)} - {None}
    targets = {
        value.lstrip("#")
        for element in elements
        if _name(element) == "use"
        for key, value in element.attrib.items()
        if key.rpartition("}")[2] == "href"
    }
    return bool(ids & targets)


def _elements_with_uses(root: ET.Element) -> Iterator[ET.Element]:
    """Returns the elements that contain a `use`, each once."""
    parents = {child: parent for parent in root.iter() for child in parent}
    found: set[ET.Element] = set()
    for element in root.iter():
        parent = parents.get(element) if _name(element) == "use" else None
        while parent is not None and parent not in found:
            found.add(parent)
            yield parent
            parent = parents.get(parent)


def _size(root: ET.Element) -> tuple[float, float]:
    box = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", root.get("viewBox", ""))]
    sides = [_pixels(root.get(name, "")) for name in ("width", "height")]
    if len(box) == _VIEW_BOX_NUMBERS:
        sides = [side or own for side, own in zip(sides, box[2:], strict=True)]
    if min(sides) <= 0:
        raise UndecodableError("the drawing has no size")
    return sides[0], sides[1]


def _pixels(value: str) -> float:
    number = re.fullmatch(r"\s*(\d+(?:\.\d+)?)(px|pt)?\s*", value)
    return float(number.group(1)) if number else 0.0


def _name(element: ET.Element) -> str:
    return str(element.tag).rpartition("}")[2].lower()


def rasterize(content: bytes, drawing: Drawing) -> Picture | None:
    """Returns the pixels on white; None for a drawing with external URLs, nested uses, or too many filters."""
    if drawing.external_urls or drawing.has_nested_uses or drawing.filter_count > _MAX_FILTERS:
        return None
    from mermaidx.raster import render_png

    scale = RASTER_SIDE_PX / max(drawing.width, drawing.height)
    short = min(drawing.width, drawing.height) * scale
    if short * _MAX_ASPECT < RASTER_SIDE_PX:
        return None
    try:
        png = render_png(
            content.decode("utf-8", "replace"),
            width=drawing.width * scale,
            height=drawing.height * scale,
            background="#ffffff",
        )
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        raise UndecodableError("the drawing cannot be drawn") from error
    return decode(bytes(png))


def measure_drawing(drawing: Drawing, context: EvaluationContext) -> Iterator[Measurement]:
    """Measures the elements of a drawing against the labels and the arrows of the requested source."""
    labels = len(dict.fromkeys(context.expected_labels))
    if labels:
        evidence = f"{drawing.shapes} shapes for {labels} labels"
        message = f"The drawing has {drawing.shapes} shapes for {labels} labels; draw every part."
        score = linear_score(drawing.shapes / labels, 0.2, 0.9)
        yield measurement(
            Dimension.RELEVANCE, score, evidence, FeedbackCode.MISSING_ELEMENT, message, hint={"elements": labels}
        )
    arrows = len(_ARROW.findall(context.request))
    if arrows >= _MIN_ARROWS:
        evidence = f"{drawing.edges} edges for {arrows} arrows of the source"
        message = f"The drawing has {drawing.edges} edges, its source {arrows} arrows; draw every edge."
        yield measurement(
            Dimension.RELEVANCE,
            linear_score(drawing.edges / arrows, 0.2, 0.8),
            evidence,
            FeedbackCode.MISSING_ELEMENT,
            message,
            hint={"edges": arrows},
        )
    if drawing.external_urls:
        message = "The drawing loads pictures from elsewhere; embed them."
        yield measurement(
            Dimension.CLARITY,
            0.4,
            f"{len(drawing.external_urls)} pictures are not embedded",
            FeedbackCode.MISSING_FIGURE,
            message,
        )
