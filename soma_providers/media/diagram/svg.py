"""Inspects an engine's SVG before anybody opens it, and names it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from soma_providers.port import Failure, FailureOrigin, ProviderError

_REFUSED = frozenset(
    {"script", "iframe", "object", "embed", "form", "input", "button", "link", "meta", "base", "audio", "video"}
)
_SAFE_ADDRESS = re.compile(r"#|https?://|mailto:|data:image/(png|jpeg|gif|webp|svg\+xml)[;,]", re.IGNORECASE)
_CSS_ADDRESS = re.compile(r"url\(\s*['\"]?(?![#'\"\s]|data:)|@import|expression\(", re.IGNORECASE)
_SIZES = re.compile(r"""\s(?:width|height|viewBox|style|preserveAspectRatio)\s*=\s*(?:"[^"]*"|'[^']*')""")
_TITLE = re.compile(r"<title>.*?</title>", re.DOTALL)


@dataclass(frozen=True)
class Svg:
    """An SVG that holds no code and loads nothing, with its natural size in CSS pixels."""

    text: str
    width: float
    height: float


def inspect(text: str, title: str = "", *, margin: float = 0.0) -> Svg:
    """Check and name a picture; raise ProviderError(INVALID_INPUT) for one that would run code or load files.

    `margin` widens it on all sides, in its own units.
    """
    text = text.lstrip("\ufeff \n")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise _refused("a document type")
    try:
        root = ET.fromstring(text)  # noqa: S314  document types, and so entities, are refused above
    except ET.ParseError as error:
        raise ProviderError(
            Failure.UNAVAILABLE, "the engine drew a picture that cannot be read", origin=FailureOrigin.PLATFORM
        ) from error
    for element in root.iter():
        _check(element)
    box = _box(root)
    if margin:
        box = (box[0] - margin, box[1] - margin, box[2] + 2 * margin, box[3] + 2 * margin)
        text = _resized(text, box)
    return Svg(_named(text, title), box[2], box[3])


def _check(element: ET.Element) -> None:
    name = _local(element.tag)
    if name in _REFUSED:
        raise _refused(f"an element <{name}>")
    for key, value in element.attrib.items():
        attribute = _local(key)
        if attribute.startswith("on"):
            raise _refused(f"a handler {attribute}")
        if attribute in {"href", "src"} and not _SAFE_ADDRESS.match(value.strip()):
            raise _refused("a link that is neither a web address nor inside the picture")
        if attribute in {"href", "src"} and name != "a" and value.strip().lower().startswith("http"):
            raise _refused("a file loaded from elsewhere")
        if attribute == "style" and _CSS_ADDRESS.search(value):
            raise _refused("a style that loads files")
    if name == "style" and _CSS_ADDRESS.search(element.text or ""):
        raise _refused("a style that loads files")


def _box(root: ET.Element) -> tuple[float, float, float, float]:
    given = [float(number) for number in re.split(r"[\s,]+", root.get("viewBox", "").strip()) if number]
    x, y, width, height = given if len(given) == 4 else (0.0, 0.0, 0.0, 0.0)  # noqa: PLR2004  x, y, width, height
    width, height = width or _pixels(root.get("width", "")), height or _pixels(root.get("height", ""))
    if min(width, height) <= 0:
        raise ProviderError(
            Failure.UNAVAILABLE, "the engine drew a picture without size", origin=FailureOrigin.PLATFORM
        )
    return x, y, width, height


def _resized(text: str, box: tuple[float, float, float, float]) -> str:
    """Write a box into the opening tag, in place of all that said anything about the size."""
    start = text.index("<svg")
    end = text.index(">", start)
    tag = _SIZES.sub("", text[start:end])
    x, y, width, height = (f"{side:.2f}" for side in box)
    size = f' width="{width}" height="{height}" viewBox="{x} {y} {width} {height}"'
    return text[:start] + tag + size + text[end:]


def _pixels(value: str) -> float:
    number = re.fullmatch(r"([0-9.]+)(px)?", value.strip())
    return float(number.group(1)) if number else 0.0


def _named(text: str, title: str) -> str:
    """Replace the engine's own title, which may show escapes, by the diagram's."""
    text = _TITLE.sub("", text, count=1)
    if not title:
        return text
    start = text.index("<svg")
    end = text.index(">", start) + 1
    return f"{text[:end]}<title>{escape(title)}</title>{text[end:]}"


def _local(name: str) -> str:
    return name.rsplit("}", 1)[-1].lower()


def _refused(what: str) -> ProviderError:
    return ProviderError(Failure.INVALID_INPUT, f"the source draws {what}, which is not allowed", pointer="/source")
