"""Renders a document as PDF with Typst, offline and with the fonts of Typst.

A fixed template reads the content as JSON, so that no text is interpreted as markup. The PDF contains no current time:
equal documents give equal bytes.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import typst

from soma_documents.blocks import Table, plain_text
from soma_documents.document import Figure
from soma_documents.errors import PdfError
from soma_documents.model import KIND_NAMES
from soma_documents.tables import format_date

if TYPE_CHECKING:
    from soma_documents.document import Document, Section
    from soma_documents.model import JsonValue

_PACKAGE = "soma_documents"
_TEXT_WIDTH_MM = 166.0
_MAX_HEIGHT_MM = {"wide": 92.0, "tall": 150.0}
_UNBREAKABLE_MAX_ROWS = 8
_UNBREAKABLE_MAX_CHARS = 700
_UNBREAKABLE_ROW_MAX_CHARS = 1_500
_MM_PER_PIXEL = 25.4 / 96


class PdfWriter:
    """Renders with a template and the fonts of Typst, which are loaded once."""

    def __init__(self) -> None:
        self._template = (files(_PACKAGE) / "templates" / "document.typ").read_bytes()
        self._fonts = typst.Fonts(include_system_fonts=False)

    def render(self, document: Document) -> bytes:
        """Returns the PDF of a document; blocks for about a second. Raises PdfError."""
        with tempfile.TemporaryDirectory(prefix="compose-") as folder:
            root = Path(folder)
            (root / "document.typ").write_bytes(self._template)
            (root / "document.json").write_text(json.dumps(_document_data(document)), encoding="utf-8")
            (root / "assets").mkdir()
            for figure in document.figures:
                if figure.print_file is not None:
                    (root / figure.print_file.path).write_bytes(figure.print_file.content)
            try:
                return bytes(
                    typst.compile(
                        str(root / "document.typ"), root=folder, font_paths=self._fonts, ignore_system_fonts=True,
                        timestamp=0,
                    )
                )  # fmt: skip
            except typst.TypstError as error:
                raise PdfError(error.message) from error


def _document_data(document: Document) -> JsonValue:
    spec = document.spec
    details = [
        f"Version {spec.version}" if spec.version else "",
        spec.status,
        format_date(spec.date) if spec.date else "",
    ]
    return {
        "title": spec.title,
        "subtitle": spec.subtitle,
        "kind": KIND_NAMES[spec.kind],
        "cover": spec.kind != "design_note",
        "version": spec.version,
        "authors": list(spec.authors),
        "details": [detail for detail in details if detail],
        "control": [_to_json(table) for table in document.control],
        "sections": [_section(section) for section in document.sections],
        "has_figures": bool(document.figures),
        "has_tables": bool(document.tables),
        "anchors": sorted(_anchors(document)),
    }


def _anchors(document: Document) -> set[str]:
    """Returns the targets of links; a link to anything else is an error in Typst."""
    rows = {row.anchor for table in document.tables for row in table.rows}
    for section in document.sections:
        rows |= {row.anchor for block in section.blocks for row in getattr(block, "rows", ()) if row.anchor}
    others = {section.anchor for section in document.sections} | {figure.anchor for figure in document.figures}
    return {anchor for anchor in rows | others if anchor}


def _section(section: Section) -> JsonValue:
    return {
        "heading": section.heading,
        "number": f"Appendix {section.number}" if section.appendix and section.level == 1 else section.number,
        "title": section.title,
        "anchor": section.anchor,
        "level": section.level,
        "blocks": [_to_json(block) for block in section.blocks],
        "backlinks": [_to_json(jump) for jump in section.backlinks],
    }


def _to_json(node: object) -> JsonValue:
    """Returns a tree of blocks as JSON; a figure has the path and the size of its file for PDF."""
    if isinstance(node, tuple):
        return [_to_json(child) for child in node]
    if isinstance(node, Figure):
        return _figure(node)
    if is_dataclass(node) and not isinstance(node, type):
        values: dict[str, JsonValue] = {field.name: _to_json(getattr(node, field.name)) for field in fields(node)}
        if isinstance(node, Table):
            values["unbreakable_rows"] = (
                max((len(plain_text(row)) for row in node.rows), default=0) <= _UNBREAKABLE_ROW_MAX_CHARS
            )
            values["unbreakable"] = (
                len(node.rows) <= _UNBREAKABLE_MAX_ROWS and len(plain_text(node)) <= _UNBREAKABLE_MAX_CHARS
            )
        return values | {"kind": str(getattr(node, "kind", ""))}
    return node if isinstance(node, (str, int, float, bool)) else None


def _figure(figure: Figure) -> JsonValue:
    width, height = figure.width * _MM_PER_PIXEL, figure.height * _MM_PER_PIXEL
    max_height = _MAX_HEIGHT_MM["wide" if width >= height else "tall"]
    scale = min(1.0, _TEXT_WIDTH_MM / width, max_height / height) if width and height else 1.0
    file = figure.screen_file
    return {
        "anchor": figure.anchor,
        "label": figure.label,
        "caption": figure.caption,
        "alt": figure.alt,
        "missing": figure.missing,
        "details": figure.details,
        "path": figure.print_file.path if figure.print_file else "",
        "link": file.path if file else "",
        "width_mm": width * scale,
        "height_mm": height * scale,
    }
