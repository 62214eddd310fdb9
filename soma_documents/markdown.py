"""Renders a document as Markdown: CommonMark with tables, without raw HTML of the author."""

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
_MAX_HEADING_LEVEL = 6
_STYLE_MARKS = {"strong": ("**", "**"), "emph": ("*", "*"), "strike": ("~~", "~~"), "quiet": ("<sub>", "</sub>")}
_MIN_SECTIONS_FOR_CONTENTS = 4
_NEEDS_PADDING = ("`", " ")


def render(document: Document, *, embed: bool = False) -> str:
    """Returns the Markdown of a document; with `embed`, images up to the limit of the document are data URLs."""
    spec = document.spec
    parts = [f"# {escape(spec.title)}"]
    if spec.subtitle:
        parts.append(f"*{escape(spec.subtitle)}*")
    parts.append(f"{KIND_NAMES[spec.kind]}")
    parts.append("## Document control")
    parts += [_table(table) for table in document.control]
    if len(document.sections) >= _MIN_SECTIONS_FOR_CONTENTS:
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
    """Returns plain text with the special characters of Markdown escaped."""
    text = _SPECIAL.sub(lambda match: "\\" + match.group(), " ".join(text.split("\n")))
    text = _LEADING.sub(lambda match: f"{match.group(1)}\\{match.group(2)}", text)
    return _LEADING_NUMBER.sub(r"\1\\\2", text)


def _content_line(section: Section) -> str:
    return f"{'  ' * (section.level - 1)}- [{escape(section.heading)}](#{section.anchor})"


def _section(section: Section, *, embed: bool) -> list[str]:
    level = "#" * min(section.level + 1, _MAX_HEADING_LEVEL)
    parts = [f'<a id="{section.anchor}"></a>', f"{level} {escape(section.heading)}"]
    if section.backlinks:
        parts.append(f"<sub>Referred to in {_links(section.backlinks)}</sub>")
    return parts + [_block(block, section.level + 1, embed=embed) for block in section.blocks]


def _block(block: Block, level: int, *, embed: bool) -> str:  # noqa: PLR0911 - one return for each kind
    match block:
        case Paragraph(children=children):
            return inline(children)
        case MinorHeading(rank=rank, children=children):
            return f"{'#' * min(level + rank, _MAX_HEADING_LEVEL)} {inline(children)}"
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
        case FigureBlock(figure=figure, backlinks=backlinks):
            return _figure(figure, backlinks, embed=embed and figure.embedded)


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
    texts = [inline(cell, in_table=True) for cell in (cells.cells if isinstance(cells, Row) else cells)]
    if anchor:
        texts[0] = f'<a id="{anchor}"></a>{texts[0]}'
    return "| " + " | ".join(texts) + " |"


def _figure(figure: Figure, backlinks: tuple[InternalLink, ...], *, embed: bool) -> str:
    lines = [f'<a id="{figure.anchor}"></a>', ""]
    file = figure.screen_file
    if file is None:
        lines.append(_gap(f"{figure.label} is missing: {figure.missing}"))
    elif figure.sound or figure.video:
        lines.append(f"[▶ {escape(figure.caption)} ({figure.details})]({quote(file.path)})")
    else:
        lines.append(f"![{escape(figure.alt)}]({_data_url(figure.raster or file) if embed else quote(file.path)})")
    lines += ["", f"**{figure.label}.** {escape(figure.caption)}"]
    if backlinks:
        lines += ["", f"<sub>Referred to in {_links(backlinks)}</sub>"]
    return "\n".join(lines)


def _data_url(file: File) -> str:
    """Returns the data URL of a file."""
    return f"data:{file.media_type};base64,{base64.b64encode(file.content).decode()}"


def inline(children: tuple[Inline, ...], *, in_table: bool = False) -> str:
    """Returns inlines as Markdown."""
    return "".join(_inline(child, in_table=in_table) for child in children)


def _inline(child: Inline, *, in_table: bool) -> str:  # noqa: PLR0911 - one return for each kind
    match child:
        case Text(text=text):
            return escape(text)
        case Code(text=text):
            return _code(text, in_table=in_table)
        case Styled(style=style, children=children):
            before, after = _STYLE_MARKS[style]
            return f"{before}{inline(children, in_table=in_table)}{after}"
        case Link(href=href, children=children):
            return f"[{inline(children, in_table=in_table)}]({_escape_url(href)})"
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
    pad = " " if text[:1] in _NEEDS_PADDING or text[-1:] in _NEEDS_PADDING else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _escape_url(href: str) -> str:
    return href.replace("(", "%28").replace(")", "%29").replace("|", "%7C").replace("\\", "%5C")


def _gap(text: str) -> str:
    return f"**\\[Gap: {escape(text)}\\]**"


def _links(links: tuple[InternalLink, ...]) -> str:
    return ", ".join(f"[{escape(link.text)}](#{link.anchor})" for link in links)
