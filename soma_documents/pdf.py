"""Writes a document as PDF with Typst, offline and with Typst's own fonts.

The words travel as JSON beside a fixed template, so nothing that a document says is ever read as markup. The PDF
carries no wall-clock time: equal documents give equal bytes.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import typst

from soma_documents.blocks import Table
from soma_documents.blocks import plain as words
from soma_documents.document import Figure
from soma_documents.errors import PdfError
from soma_documents.model import KIND_NAMES
from soma_documents.tables import day

if TYPE_CHECKING:
    from soma_documents.document import Document, Section
    from soma_documents.model import JsonValue

_PACKAGE = "soma_documents"
_TEXT_WIDTH_MM = 166.0
_TALLEST_MM = {"wide": 92.0, "tall": 150.0}
_TOGETHER_ROWS = 8
_TOGETHER_CHARS = 700
_WHOLE_ROW_CHARS = 1_500
_MM_PER_PIXEL = 25.4 / 96


class PdfWriter:
    """Holds the template and the fonts that Typst carries."""

    def __init__(self) -> None:
        self._template = (files(_PACKAGE) / "templates" / "document.typ").read_bytes()
        self._fonts = typst.Fonts(include_system_fonts=False)

    def render(self, document: Document) -> bytes:
        """The whole document; blocks for about a second. Raises PdfError."""
        with tempfile.TemporaryDirectory(prefix="compose-") as folder:
            root = Path(folder)
            (root / "document.typ").write_bytes(self._template)
            (root / "document.json").write_text(json.dumps(_data(document)), encoding="utf-8")
            (root / "assets").mkdir()
            for figure in document.figures:
                if figure.printed is not None:
                    (root / figure.printed.path).write_bytes(figure.printed.content)
            try:
                return bytes(
                    typst.compile(
                        str(root / "document.typ"), root=folder, font_paths=self._fonts, ignore_system_fonts=True,
                        timestamp=0,
                    )
                )  # fmt: skip
            except typst.TypstError as error:
                raise PdfError(error.message) from error


def _data(document: Document) -> JsonValue:
    spec = document.spec
    facts = [f"Version {spec.version}" if spec.version else "", spec.status, day(spec.date) if spec.date else ""]
    return {
        "title": spec.title,
        "subtitle": spec.subtitle,
        "kind": KIND_NAMES[spec.kind],
        "cover": spec.kind != "design_note",
        "version": spec.version,
        "authors": list(spec.authors),
        "facts": [fact for fact in facts if fact],
        "control": [_plain(table) for table in document.control],
        "sections": [_section(section) for section in document.sections],
        "has_figures": bool(document.figures),
        "has_tables": bool(document.tables),
        "anchors": sorted(_anchors(document)),
    }


def _anchors(document: Document) -> set[str]:
    """Everything that a link may lead to; a link to anything else would stop Typst."""
    rows = {row.anchor for table in document.tables for row in table.rows}
    for section in document.sections:
        rows |= {row.anchor for block in section.blocks for row in getattr(block, "rows", ()) if row.anchor}
    named = {section.anchor for section in document.sections} | {figure.anchor for figure in document.figures}
    return {anchor for anchor in rows | named if anchor}


def _section(section: Section) -> JsonValue:
    return {
        "heading": section.heading,
        "number": f"Appendix {section.number}" if section.appendix and section.level == 1 else section.number,
        "title": section.title,
        "anchor": section.anchor,
        "level": section.level,
        "blocks": [_plain(block) for block in section.blocks],
        "back": [_plain(jump) for jump in section.back],
    }


def _plain(node: object) -> JsonValue:
    """A tree of blocks as JSON; figures by the path and the size of the file that prints best."""
    if isinstance(node, tuple):
        return [_plain(child) for child in node]
    if isinstance(node, Figure):
        return _figure(node)
    if is_dataclass(node) and not isinstance(node, type):
        plain: dict[str, JsonValue] = {field.name: _plain(getattr(node, field.name)) for field in fields(node)}
        if isinstance(node, Table):
            plain["whole_rows"] = max((len(words(row)) for row in node.rows), default=0) <= _WHOLE_ROW_CHARS
            plain["together"] = len(node.rows) <= _TOGETHER_ROWS and len(words(node)) <= _TOGETHER_CHARS
        return plain | {"kind": str(getattr(node, "kind", ""))}
    return node if isinstance(node, (str, int, float, bool)) else None


def _figure(figure: Figure) -> JsonValue:
    width, height = figure.width * _MM_PER_PIXEL, figure.height * _MM_PER_PIXEL
    tallest = _TALLEST_MM["wide" if width >= height else "tall"]
    scale = min(1.0, _TEXT_WIDTH_MM / width, tallest / height) if width and height else 1.0
    file = figure.shown
    return {
        "anchor": figure.anchor,
        "label": figure.label,
        "caption": figure.caption,
        "alt": figure.alt,
        "missing": figure.missing,
        "facts": figure.facts,
        "path": figure.printed.path if figure.printed else "",
        "link": file.path if file else "",
        "width_mm": width * scale,
        "height_mm": height * scale,
    }
