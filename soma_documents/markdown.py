"""Writes a document as Markdown (CommonMark with tables), readable as text and safe for any reader."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from soma_documents.blocks import (
    Block,
    Break,
    Code,
    CodeBlock,
    FigureBlock,
    Gap,
    Inline,
    InternalLink,
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
)
from soma_documents.model import KIND_NAMES

if TYPE_CHECKING:
    from soma_documents.document import Document, Figure, File, Section

_SPECIAL = re.compile(r"[\\`*_\[\]<>|~&]")
_LEADING = re.compile(r"^(\s*)(#{1,6}(?=\s|$)|[-+](?=\s|$)|=+\s*$|-{2,}\s*$|:{3})")
_LEADING_NUMBER = re.compile(r"^(\s*\d{1,9})([.)])(?=\s|$)")
_DEEPEST = 6
_MARKS = {"strong": ("**", "**"), "emph": ("*", "*"), "strike": ("~~", "~~"), "quiet": ("<sub>", "</sub>")}
_FEW = 3
_PADDED = ("`", " ")


def render(document: Document, *, embed: bool = False) -> str:
    """The whole document; with `embed` its pictures are inside it, up to the limit of the document."""
    spec = document.spec
    parts = [f"# {escape(spec.title)}"]
    if spec.subtitle:
        parts.append(f"*{escape(spec.subtitle)}*")
    parts.append(f"{KIND_NAMES[spec.kind]}")
    parts.append("## Document control")
    parts += [_table(table) for table in document.control]
    if len(document.sections) > _FEW:
        parts += ["## Contents", "\n".join(_content_line(section) for section in document.sections)]
    if document.figures:
        lines = [f"- [{figure.label}](#{figure.anchor}): {escape(figure.caption)}" for figure in document.figures]
        parts += ["## Figures", "\n".join(lines)]
    if document.tables:
        lines = [f"- [{table.label}](#{table.anchor}): {escape(table.caption)}" for table in document.tables]
        parts += ["## Tables", "\n".join(lines)]
    for section in document.sections:
        parts += _section(section, embed=embed)
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """Plain words as Markdown that says exactly these words."""
    text = _SPECIAL.sub(lambda match: "\\" + match.group(), " ".join(text.split("\n")))
    text = _LEADING.sub(lambda match: f"{match.group(1)}\\{match.group(2)}", text)
    return _LEADING_NUMBER.sub(r"\1\\\2", text)


def _content_line(section: Section) -> str:
    return f"{'  ' * (section.level - 1)}- [{escape(section.heading)}](#{section.anchor})"


def _section(section: Section, *, embed: bool) -> list[str]:
    level = "#" * min(section.level + 1, _DEEPEST)
    parts = [f'<a id="{section.anchor}"></a>', f"{level} {escape(section.heading)}"]
    if section.back:
        parts.append(f"<sub>Referred to in {_jumps(section.back)}</sub>")
    return parts + [_block(block, section.level + 1, embed=embed) for block in section.blocks]


def _block(block: Block, level: int, *, embed: bool) -> str:  # noqa: PLR0911 - one return a kind
    match block:
        case Paragraph(children=children):
            return inline(children)
        case MinorHeading(rank=rank, children=children):
            return f"{'#' * min(level + rank, _DEEPEST)} {inline(children)}"
        case Listing():
            return _listing(block, level, embed=embed)
        case CodeBlock(text=text, language=language):
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
            return f"{fence}{re.sub(r'[^A-Za-z0-9+#.-]', '', language)}\n{text}\n{fence}"
        case Quote(blocks=blocks):
            inner = "\n\n".join(_block(child, level, embed=embed) for child in blocks)
            return "\n".join(f"> {line}".rstrip() for line in inner.split("\n"))
        case Rule():
            return "---"
        case Table():
            return _table(block)
        case FigureBlock(figure=figure, back=back):
            return _figure(figure, back, embed=embed and figure.embedded)


def _listing(listing: Listing, level: int, *, embed: bool) -> str:
    items = []
    for index, item in enumerate(listing.items):
        mark = "-" if listing.start is None else f"{listing.start + index}."
        inner = "\n\n".join(_block(child, level, embed=embed) for child in item)
        indent = " " * (len(mark) + 1)
        lines = [f"{indent}{line}".rstrip() for line in inner.split("\n")]
        items.append(f"{mark} {lines[0].strip()}" + "".join(f"\n{line}" for line in lines[1:]))
    return "\n".join(items)


def _table(table: Table) -> str:
    lines = [_row(table.header), "|" + " --- |" * len(table.header)]
    lines += [_row(row.cells, row.anchor) for row in table.rows]
    if not table.caption:
        return "\n".join(lines)
    return f'<a id="{table.anchor}"></a>\n\n**{table.label}.** {escape(table.caption)}\n\n' + "\n".join(lines)


def _row(cells: Row | tuple[tuple[Inline, ...], ...], anchor: str = "") -> str:
    written = [inline(cell, in_table=True) for cell in (cells.cells if isinstance(cells, Row) else cells)]
    if anchor:
        written[0] = f'<a id="{anchor}"></a>{written[0]}'
    return "| " + " | ".join(written) + " |"


def _figure(figure: Figure, back: tuple[InternalLink, ...], *, embed: bool) -> str:
    lines = [f'<a id="{figure.anchor}"></a>', ""]
    file = figure.shown
    if file is None:
        lines.append(_gap(f"{figure.label} is missing: {figure.missing}"))
    elif figure.sound or figure.video:
        lines.append(f"[▶ {escape(figure.caption)} ({figure.facts})]({quote(file.path)})")
    else:
        lines.append(f"![{escape(figure.alt)}]({_inside(figure.raster or file) if embed else quote(file.path)})")
    lines += ["", f"**{figure.label}.** {escape(figure.caption)}"]
    if back:
        lines += ["", f"<sub>Referred to in {_jumps(back)}</sub>"]
    return "\n".join(lines)


def _inside(file: File) -> str:
    """The address that holds the bytes; of pixels where there are any, since many readers show no other."""
    return f"data:{file.media_type};base64,{base64.b64encode(file.content).decode()}"


def inline(children: tuple[Inline, ...], *, in_table: bool = False) -> str:
    """Running text."""
    return "".join(_inline(child, in_table=in_table) for child in children)


def _inline(child: Inline, *, in_table: bool) -> str:  # noqa: PLR0911 - one return a kind
    match child:
        case Text(text=text):
            return escape(text)
        case Code(text=text):
            return _code(text, in_table=in_table)
        case Styled(style=style, children=children):
            before, after = _MARKS[style]
            return f"{before}{inline(children, in_table=in_table)}{after}"
        case Link(href=href, children=children):
            return f"[{inline(children, in_table=in_table)}]({_address(href)})"
        case InternalLink(anchor=anchor, text=text):
            return f"[{escape(text)}](#{anchor})"
        case Gap(text=text):
            return _gap(text)
        case Break():
            return "<br>" if in_table else "\\\n"
    return ""


def _code(text: str, *, in_table: bool) -> str:
    if in_table:
        text = text.replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    pad = " " if text[:1] in _PADDED or text[-1:] in _PADDED else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _address(href: str) -> str:
    return href.replace("(", "%28").replace(")", "%29").replace("|", "%7C").replace("\\", "%5C")


def _gap(text: str) -> str:
    return f"**\\[Gap: {escape(text)}\\]**"


def _jumps(jumps: tuple[InternalLink, ...]) -> str:
    return ", ".join(f"[{escape(jump.text)}](#{jump.anchor})" for jump in jumps)
