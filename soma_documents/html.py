"""Renders a document as one HTML file without scripts, with embedded style, images and sound.

The template escapes by default, and a content security policy blocks everything else.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from soma_documents.blocks import plain_text
from soma_documents.model import KIND_NAMES
from soma_documents.tables import format_date

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soma_documents.document import Document, File, Section

_PACKAGE = "soma_documents"


class HtmlWriter:
    """Renders with a compiled template and a style, which are loaded once."""

    def __init__(self) -> None:
        folder = files(_PACKAGE) / "templates"
        environment = Environment(
            loader=DictLoader(
                {name: (folder / name).read_text(encoding="utf-8") for name in ("document.html.j2", "blocks.html.j2")}
            ),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        environment.filters["plain"] = plain_text
        environment.globals["source"] = _source
        self._template = environment.get_template("document.html.j2")
        self._style = (folder / "document.css").read_text(encoding="utf-8")

    def render(self, document: Document) -> str:
        """Returns the HTML of a document."""
        spec = document.spec
        details = [spec.version and f"Version {spec.version}", spec.status, format_date(spec.date) if spec.date else ""]
        return self._template.render(
            document=document,
            spec=spec,
            kind=KIND_NAMES[spec.kind],
            details=[detail for detail in details if detail],
            contents=_contents_tree(document.sections),
            style=Markup(self._style),  # noqa: S704 - a file of this package, whose digest the policy has
            policy=self._policy(document),
        )

    def _policy(self, document: Document) -> str:
        """Returns the policy: only this style, embedded files, and linked files of the same folder."""
        digest = base64.b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        linked_sources = "" if all(figure.embedded for figure in document.figures) else " 'self' file:"
        return (
            f"default-src 'none'; style-src 'sha256-{digest}'; "
            f"img-src data:{linked_sources}; media-src data:{linked_sources}; "
            "base-uri 'none'; form-action 'none'"
        )


class _ContentsEntry:
    """A section in the table of contents with its subsections."""

    def __init__(self, section: Section) -> None:
        self.section = section
        self.children: list[_ContentsEntry] = []


def _contents_tree(sections: Sequence[Section]) -> list[_ContentsEntry]:
    roots: list[_ContentsEntry] = []
    path: list[_ContentsEntry] = []
    for section in sections:
        entry = _ContentsEntry(section)
        del path[section.level - 1 :]
        (path[-1].children if path else roots).append(entry)
        path.append(entry)
    return roots


def _source(file: File, *, embedded: bool) -> str:
    """Returns the URL of a file: a data URL, or its path in the bundle."""
    if not embedded:
        return file.path
    return f"data:{file.media_type};base64,{base64.b64encode(file.content).decode()}"
