"""The outline of HTML."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import unquote

from svc_critic.domain.outline import Outline

_UNSEEN = frozenset({"script", "style", "template", "noscript", "head"})
_BLOCKS = frozenset(
    {"p", "div", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "br", "figcaption", "caption", "section", "td", "th"}
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_VOID = frozenset({"br", "img", "hr", "meta", "link", "input", "source", "col", "area", "base", "embed", "wbr"})


def outline_of_html(text: str) -> Outline:
    """What a page is made of. A figure that is loaded from elsewhere is missing: a document carries its figures."""
    parser = _Parser()
    parser.feed(text)
    parser.close()
    dead = tuple(dict.fromkeys(target for target in parser.links if target not in parser.anchors | {"", "top"}))
    return Outline(
        text=parser.text,
        headings=tuple(parser.headings),
        references=len(parser.links),
        dead=tuple(f"#{target}" for target in dead),
        figures=parser.figures,
        missing=tuple(parser.missing),
        unnamed=parser.unnamed,
    )


class _Parser(HTMLParser):
    """Collects, in one pass, what an outline needs."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.headings: list[int] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.figures = 0
        self.missing: list[str] = []
        self.unnamed = 0
        self._texts: list[str] = []
        self._unseen = 0
        self._pictures: list[str] = []

    @property
    def text(self) -> str:
        """The words that are seen, a block a line."""
        lines = (" ".join(line.split()) for line in "".join(self._texts).splitlines())
        return "\n".join(line for line in lines if line)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Takes in a start tag."""
        given = {name: value or "" for name, value in attrs}
        self.anchors.update(given[name] for name in ("id", "name") if given.get(name))
        if tag in _UNSEEN:
            self._unseen += 1
        if tag in _HEADINGS:
            self.headings.append(_HEADINGS[tag])
        if tag in _BLOCKS:
            self._texts.append("\n")
        if tag == "a" and given.get("href", "").startswith("#"):
            self.links.append(unquote(given["href"][1:]))
        if tag == "img":
            self._picture(given)
        if tag == "svg":
            self.figures += 1

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Takes in a tag that closes itself."""
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """Takes in an end tag."""
        if tag in _UNSEEN and self._unseen:
            self._unseen -= 1
        if tag in _BLOCKS:
            self._texts.append("\n")

    def handle_data(self, data: str) -> None:
        """Takes in text."""
        if not self._unseen:
            self._texts.append(data)

    def _picture(self, given: dict[str, str]) -> None:
        self.figures += 1
        source = given.get("src", "").strip()
        if not source.lower().startswith("data:") or source.endswith(","):
            self.missing.append(given.get("alt") or source or "an image without a source")
        if "alt" not in given:
            self.unnamed += 1
