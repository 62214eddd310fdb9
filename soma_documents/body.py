"""Parses Markdown into blocks. HTML becomes plain text and an image its alternative text; nesting is limited."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from soma_documents.blocks import (
    Block,
    Break,
    Code,
    CodeBlock,
    CrossReference,
    Inline,
    Link,
    Listing,
    MinorHeading,
    Paragraph,
    Quote,
    Row,
    Rule,
    Styled,
    Table,
    Text,
    plain_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it.rules_inline import StateInline

_CROSS_REFERENCE = re.compile(r"\[\[(fig|req|sec|design|test|ref):([A-Za-z0-9][A-Za-z0-9_.\-]{0,63})\]\]")
_SAFE_URL = re.compile(r"(https?://|mailto:)[^\s<>\"']+\Z", re.IGNORECASE)
_FENCED = re.compile(r"\s*```(?:markdown|md)?[ \t]*\n(.*?)\n```\s*\Z", re.DOTALL)
_NUMBERED = re.compile(r"^[\s\d.:)]+")
_STYLES = {"strong": "strong", "em": "emph", "s": "strike"}
_MAX_RANK = 3
_MAX_NESTING = 12


class _Container(Protocol):
    @property
    def children(self) -> Sequence[SyntaxTreeNode]: ...


class BodyReader:
    """Parses bodies and single lines; reuses the parser, whose creation is slow."""

    def __init__(self) -> None:
        parser = MarkdownIt("commonmark", {"html": False, "maxNesting": _MAX_NESTING})
        parser.enable(["table", "strikethrough"])
        parser.inline.ruler.before("link", "cross", _parse_cross_reference)
        self._parser = parser

    def read(self, text: str, title: str = "") -> tuple[Block, ...]:
        """Returns the blocks of a body, without headings that repeat the section's title, which models often write."""
        fenced = _FENCED.fullmatch(text)
        if fenced and "```" not in fenced.group(1):
            text = fenced.group(1)
        blocks = _blocks(SyntaxTreeNode(self._parser.parse(text)))
        if blocks and isinstance(blocks[0], Paragraph) and _repeats_title(blocks[0], title):
            blocks = blocks[1:]
        remaining = [
            block for block in blocks if not (isinstance(block, MinorHeading) and _repeats_title(block, title))
        ]
        ranks = sorted({block.rank for block in remaining if isinstance(block, MinorHeading)})
        return tuple(
            replace(block, rank=ranks.index(block.rank) + 1) if isinstance(block, MinorHeading) else block
            for block in remaining
        )

    def read_line(self, text: str) -> tuple[Inline, ...]:
        """Returns the text of a cell or a caption; lists and code become lines of it."""
        lines: list[tuple[Inline, ...]] = []
        for block in self.read(text):
            lines.extend(_lines(block))
        joined: list[Inline] = []
        for index, line in enumerate(lines):
            joined.extend((Break(), *line) if index else line)
        return tuple(joined)


def _parse_cross_reference(state: StateInline, silent: bool) -> bool:
    match = _CROSS_REFERENCE.match(state.src, state.pos)
    if match is None:
        return False
    if not silent:
        token = state.push("cross", "", 0)
        token.meta = {"kind": match.group(1), "target": match.group(2)}
    state.pos = match.end()
    return True


def _blocks(node: _Container) -> tuple[Block, ...]:
    return tuple(block for child in node.children if (block := _block(child)) is not None)


def _block(node: SyntaxTreeNode) -> Block | None:  # noqa: PLR0911 - one return for each kind
    match node.type:
        case "paragraph":
            return Paragraph(_content(node))
        case "heading":
            return MinorHeading(min(int(node.tag[1:]), _MAX_RANK), _content(node))
        case "bullet_list" | "ordered_list":
            start = int(node.attrs.get("start", 1)) if node.type == "ordered_list" else None
            return Listing(tuple(_blocks(item) for item in node.children), start)
        case "fence" | "code_block":
            info = node.info.split() if node.type == "fence" else []
            return CodeBlock(node.content.rstrip("\n"), info[0] if info else "")
        case "blockquote":
            return Quote(_blocks(node))
        case "hr":
            return Rule()
        case "table":
            return _table(node)
    return None


def _table(node: SyntaxTreeNode) -> Table:
    rows = [tuple(_content(cell) for cell in row.children) for part in node.children for row in part.children]
    return Table(header=rows[0], rows=tuple(Row(cells) for cells in rows[1:]))


def _content(node: SyntaxTreeNode) -> tuple[Inline, ...]:
    """Returns the text of a block whose only child is its inline content."""
    return _merge_text(inline for child in node.children for part in child.children for inline in _inlines(part))


def _inlines(node: SyntaxTreeNode) -> tuple[Inline, ...]:  # noqa: PLR0911 - one return for each kind
    match node.type:
        case "text":
            return (Text(node.content),)
        case "softbreak":
            return (Text(" "),)
        case "hardbreak":
            return (Break(),)
        case "code_inline":
            return (Code(node.content),)
        case "cross":
            return (CrossReference(str(node.meta["kind"]), str(node.meta["target"])),)
        case "strong" | "em" | "s":
            return (Styled(_STYLES[node.type], _children(node)),)
        case "link":
            return _link(str(node.attrs.get("href", "")), _children(node))
        case "image":
            return _link(str(node.attrs.get("src", "")), _children(node))
    return ()


def _children(node: SyntaxTreeNode) -> tuple[Inline, ...]:
    return _merge_text(inline for child in node.children for inline in _inlines(child))


def _link(address: str, children: tuple[Inline, ...]) -> tuple[Inline, ...]:
    """Returns a link if its URL is safe and it contains no other link, else its text."""
    if (
        not _SAFE_URL.match(address)
        or not children
        or any(isinstance(child, (Link, CrossReference)) for child in children)
    ):
        return children
    return (Link(address, children),)


def _merge_text(inlines: object) -> tuple[Inline, ...]:
    merged: list[Inline] = []
    for inline in inlines:  # type: ignore[attr-defined]
        if isinstance(inline, Text) and merged and isinstance(merged[-1], Text):
            merged[-1] = Text(merged[-1].text + inline.text)
        elif not (isinstance(inline, Text) and not inline.text):
            merged.append(inline)
    return tuple(merged)


def _repeats_title(block: MinorHeading | Paragraph, title: str) -> bool:
    text = _NUMBERED.sub("", plain_text(block)).strip(" :.*").casefold()
    return bool(title) and text == _NUMBERED.sub("", title).strip().casefold()


def _lines(block: Block) -> list[tuple[Inline, ...]]:
    match block:
        case Paragraph(children=children) | MinorHeading(children=children):
            return [children]
        case CodeBlock(text=text):
            return [(Code(line),) for line in text.splitlines() if line.strip()]
        case Quote(blocks=blocks):
            return [line for inner in blocks for line in _lines(inner)]
        case Listing(items=items):
            return [(Text("• "), *line) for item in items for inner in item for line in _lines(inner)]
        case Table(header=header, rows=rows):
            cells = [header, *(row.cells for row in rows)]
            return [tuple(part for cell in row for part in (*cell, Text("  "))) for row in cells]
    return []
