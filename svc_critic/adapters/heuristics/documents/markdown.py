"""The outline of Markdown (CommonMark)."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import unquote

from markdown_it import MarkdownIt

from svc_critic.adapters.heuristics.decoding import Undecodable
from svc_critic.domain.outline import Outline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from markdown_it.token import Token

MOST_CHARS = 1_000_000
# Each of these passes over its text once, whatever the text: no part of a pattern may run over the beginning of another
# match, and repetitions that end in something else are bounded.
_TAG = re.compile(r"<[a-zA-Z][^<>]*")
_NAME = re.compile(r"\s(?:id|name)\s{0,9}=\s{0,9}[\"']([^\"']{1,500})[\"']")
_DROPPED = re.compile(r"[^\w\- ]")
_OWN_ID = re.compile(r"\{#([^{}\s]{1,500})\}\s{0,99}$")
_UNRESOLVED = re.compile(r"(?<!!)\[[^\[\]\n]{1,500}\]\[([^\[\]\n]{1,500})\]")
_TAGS = re.compile(r"<[^<>]+>")


def outline_of_markdown(text: str) -> Outline:
    """What a document is made of. Figures lie beside a Markdown file, so only those without an address are missing."""
    if len(text) > MOST_CHARS:
        raise Undecodable(f"the document has more than {MOST_CHARS:,} characters")
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    inner = [child for token in tokens for child in token.children or ()]
    anchors = {*_slugs(tokens), *(name for tag in _TAG.findall(text) for name in _NAME.findall(tag))}
    known = {name.lower() for name in anchors}
    links = [
        unquote(str(token.attrGet("href"))[1:])
        for token in inner
        if token.type == "link_open" and str(token.attrGet("href")).startswith("#")
    ]
    images = [token for token in inner if token.type == "image"]
    dead = [f"#{target}" for target in dict.fromkeys(links) if target.lower() not in known]
    dead += [f"[{label}]" for token in inner if token.type == "text" for label in _UNRESOLVED.findall(token.content)]
    return Outline(
        text="\n".join(_lines(tokens)),
        headings=tuple(int(token.tag[1]) for token in tokens if token.type == "heading_open"),
        references=len(links),
        dead=tuple(dead),
        figures=len(images),
        missing=tuple(image.content or "an image without an address" for image in images if not image.attrGet("src")),
        unnamed=sum(not image.content for image in images),
    )


def _slugs(tokens: list[Token]) -> Iterator[str]:
    """Names of headings as GitHub makes them: lower case, hyphens for spaces, a number for the second of a name."""
    seen: dict[str, int] = {}
    for before, token in pairwise(tokens):
        if before.type != "heading_open":
            continue
        own = _OWN_ID.search(token.content)
        if own:
            yield own.group(1)
        plain = _texts(token.children or ()).strip().lower()
        slug = _DROPPED.sub("", plain).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
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
    """The text of a line; line breaks in its source are blanks."""
    parts = (" " if child.type in {"softbreak", "hardbreak"} else child.content for child in children
             if child.type not in {"html_inline", "image"})  # fmt: skip
    return "".join(parts)
