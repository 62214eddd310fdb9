"""The outline of Markdown (CommonMark)."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import unquote

from markdown_it import MarkdownIt

from svc_critic.adapters.heuristics.decoding import UndecodableError
from svc_critic.domain.outline import Outline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from markdown_it.token import Token

MAX_CHARS = 1_000_000
# Each of these takes linear time for any text: no part of a pattern can match the beginning of another match, and
# repetitions before something else are bounded.
_TAG = re.compile(r"<[a-zA-Z][^<>]*")
_NAME = re.compile(r"\s(?:id|name)\s{0,9}=\s{0,9}[\"']([^\"']{1,500})[\"']")
_NOT_IN_SLUG = re.compile(r"[^\w\- ]")
_EXPLICIT_ID = re.compile(r"\{#([^{}\s]{1,500})\}\s{0,99}$")
_UNRESOLVED = re.compile(r"(?<!!)\[[^\[\]\n]{1,500}\]\[([^\[\]\n]{1,500})\]")
_TAGS = re.compile(r"<[^<>]+>")


def parse_markdown(text: str) -> Outline:
    """Returns the outline of a document. Figures are separate files: only those without a URL are missing."""
    if len(text) > MAX_CHARS:
        raise UndecodableError(f"the document has more than {MAX_CHARS:,} characters")
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    inner = [child for token in tokens for child in token.children or ()]
    anchors = {*_slugs(tokens), *(name for tag in _TAG.findall(text) for name in _NAME.findall(tag))}
    targets = {name.lower() for name in anchors}
    links = [
        unquote(str(token.attrGet("href"))[1:])
        for token in inner
        if token.type == "link_open" and str(token.attrGet("href")).startswith("#")
    ]
    images = [token for token in inner if token.type == "image"]
    dead = [f"#{target}" for target in dict.fromkeys(links) if target.lower() not in targets]
    dead += [f"[{label}]" for token in inner if token.type == "text" for label in _UNRESOLVED.findall(token.content)]
    return Outline(
        text="\n".join(_lines(tokens)),
        headings=tuple(int(token.tag[1]) for token in tokens if token.type == "heading_open"),
        references=len(links),
        dead_references=tuple(dead),
        figures=len(images),
        missing_figures=tuple(
            image.content or "an image without an address" for image in images if not image.attrGet("src")
        ),
        figures_without_alt_text=sum(not image.content for image in images),
    )


def _slugs(tokens: list[Token]) -> Iterator[str]:
    """Returns the anchors of headings as GitHub makes them: lower case, hyphens for spaces, numbers for repeats."""
    counts: dict[str, int] = {}
    for before, token in pairwise(tokens):
        if before.type != "heading_open":
            continue
        explicit = _EXPLICIT_ID.search(token.content)
        if explicit:
            yield explicit.group(1)
        heading = _texts(token.children or ()).strip().lower()
        slug = _NOT_IN_SLUG.sub("", heading).replace(" ", "-")
        count = counts.get(slug, 0)
        counts[slug] = count + 1
        yield f"{slug}-{count}" if count else slug


def _lines(tokens: Iterable[Token]) -> Iterator[str]:
    for token in tokens:
        if token.type == "inline":
            yield _texts(token.children or ())
        elif token.type in {"fence", "code_block"}:
            yield token.content
        elif token.type == "html_block":
            yield _TAGS.sub(" ", token.content)


def _texts(children: Iterable[Token]) -> str:
    """Returns the text of a line, with blanks for the line breaks in its source."""
    parts = (" " if child.type in {"softbreak", "hardbreak"} else child.content for child in children
             if child.type not in {"html_inline", "image"})  # fmt: skip
    return "".join(parts)
