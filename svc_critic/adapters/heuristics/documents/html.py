"""The outline of HTML."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import unquote

from svc_critic.domain.outline import Outline

_INVISIBLE_TAGS = frozenset({"script", "style", "template", "noscript", "head"})
_BLOCK_TAGS = frozenset(
    {"p", "div", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "br", "figcaption", "caption", "section", "td", "th"}
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_VOID_TAGS = frozenset({"br", "img", "hr", "meta", "link", "input", "source", "col", "area", "base", "embed", "wbr"})


def parse_html(text: str) -> Outline:
    """Returns the outline of a page. A figure that is not embedded is missing."""
    parser = _Parser()
    parser.feed(text)
    parser.close()
    dead = tuple(dict.fromkeys(target for target in parser.links if target not in parser.anchors | {"", "top"}))
    return Outline(
        text=parser.text,
        headings=tuple(parser.headings),
        references=len(parser.links),
        dead_references=tuple(f"#{target}" for target in dead),
        figures=parser.figures,
        missing_figures=tuple(parser.missing_figures),
        figures_without_alt_text=parser.figures_without_alt_text,
    )


class _Parser(HTMLParser):
    """Collects what an outline needs in one pass."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.headings: list[int] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.figures = 0
        self.missing_figures: list[str] = []
        self.figures_without_alt_text = 0
        self._texts: list[str] = []
        self._invisible_depth = 0

    @property
    def text(self) -> str:
        """The visible text, with a line for each block."""
        lines = (" ".join(line.split()) for line in "".join(self._texts).splitlines())
        return "\n".join(line for line in lines if line)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.anchors.update(attributes[name] for name in ("id", "name") if attributes.get(name))
        if tag in _INVISIBLE_TAGS:
            self._invisible_depth += 1
        if tag in _HEADINGS:
            self.headings.append(_HEADINGS[tag])
        if tag in _BLOCK_TAGS:
            self._texts.append("\n")
        if tag == "a" and attributes.get("href", "").startswith("#"):
            self.links.append(unquote(attributes["href"][1:]))
        if tag == "img":
            self._add_figure(attributes)
        if tag == "svg":
            self.figures += 1

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID_TAGS:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _INVISIBLE_TAGS and self._invisible_depth:
            self._invisible_depth -= 1
        if tag in _BLOCK_TAGS:
            self._texts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._invisible_depth:
            self._texts.append(data)

    def _add_figure(self, attributes: dict[str, str]) -> None:
        self.figures += 1
        source = attributes.get("src", "").strip()
        if not source.lower().startswith("data:") or source.endswith(","):
            self.missing_figures.append(attributes.get("alt") or source or "an image without a source")
        if "alt" not in attributes:
            self.figures_without_alt_text += 1
