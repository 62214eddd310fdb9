"""Turns the HTML labels of Mermaid's SVG into SVG text, which every viewer and every PDF renderer can show."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from html import unescape
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.ImageFont import FreeTypeFont

_LABEL = re.compile(r"<foreignObject([^>]*?)(?:/>|>(.*?)</foreignObject>)", re.DOTALL)
_SIDE = re.compile(r'\b(x|y|width|height)="([0-9.eE+-]+)')
_BREAK = re.compile(r"<br\s*/?>|</(?:p|div|li)>", re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")
_BOLD = re.compile(r"font-weight:\s*(bold|[6-9]00)")
_FONT_PX = 16.0
_LINE = 1.5
_BASELINE = 0.35  # of the font size, from the middle of a line


def labels_as_text(svg: str) -> str:
    """Replace each `foreignObject` by centred lines in its place, on white where the label lies upon an arrow."""
    return _LABEL.sub(_text, svg)


def _text(label: re.Match[str]) -> str:
    sides = {name: float(value) for name, value in _SIDE.findall(label.group(1))}
    width, height = sides.get("width", 0.0), sides.get("height", 0.0)
    content = label.group(2) or ""
    given = [" ".join(unescape(_TAG.sub("", line)).split()) for line in _BREAK.split(content)]
    given = [line for line in given if line]
    if not given or width <= 0 or height <= 0:
        return ""
    bold = bool(_BOLD.search(_opening(label)) or "<strong>" in content)
    room = round(height / _FONT_PX / _LINE)
    lines = given if len(given) >= room else _wrapped(given, width, bold=bold)
    member = "markdown-node-label" in content and not bold and "«" not in content
    style = _Style(min(_FONT_PX, height / len(lines) / _LINE), bold, member, "labelBkg" in content)
    return _drawn(lines, sides, style)


@dataclass(frozen=True)
class _Style:
    size: float
    bold: bool
    left: bool
    on_arrow: bool


def _drawn(lines: list[str], sides: dict[str, float], style: _Style) -> str:
    x, y, width, height = (sides.get(name, 0.0) for name in ("x", "y", "width", "height"))
    at = x if style.left else x + width / 2
    first = y + height / 2 - (len(lines) - 1) * style.size * _LINE / 2 + style.size * _BASELINE
    spans = "".join(
        f'<tspan x="{at:g}" y="{first + index * style.size * _LINE:g}">{escape(line)}</tspan>'
        for index, line in enumerate(lines)
    )
    box = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
    ground = f'<rect {box} style="fill:#ffffff;opacity:1;stroke:none"/>' if style.on_arrow else ""
    anchor, weight = "start" if style.left else "middle", "bold" if style.bold else "normal"
    return f'{ground}<text style="text-anchor:{anchor};font-size:{style.size:g}px;font-weight:{weight}">{spans}</text>'


def _opening(label: re.Match[str]) -> str:
    """Give the opening tag of the group that the label lies in."""
    before = label.string[max(0, label.start() - 400) : label.start()]
    return before[before.rfind("<g ") :] if "<g " in before else ""


def _wrapped(given: list[str], width: float, *, bold: bool) -> list[str]:
    measure = _measure(bold=bold)
    lines: list[str] = []
    for text in given:
        line = ""
        for word in text.split(" "):
            longer = f"{line} {word}".strip()
            if line and measure(longer) > width + 1:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines


@lru_cache(maxsize=2)
def _font(*, bold: bool) -> FreeTypeFont:
    import mermaidx
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    folder = mermaidx.__file__.rsplit("/", 1)[0]
    return ImageFont.truetype(f"{folder}/assets/fonts/{name}", _FONT_PX)


def _measure(*, bold: bool) -> Callable[[str], float]:
    return _font(bold=bold).getlength
