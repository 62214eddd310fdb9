"""Writes a document as one HTML file that loads nothing: own style, pictures and sound inside, no script.

Everything goes through a template that escapes by default, and a content security policy forbids the rest.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from soma_documents.blocks import plain
from soma_documents.model import KIND_NAMES
from soma_documents.tables import day

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soma_documents.document import Document, File, Section

_PACKAGE = "soma_documents"


class HtmlWriter:
    """Holds the compiled template and the style."""

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
        environment.filters["plain"] = plain
        environment.globals["source"] = _source
        self._template = environment.get_template("document.html.j2")
        self._style = (folder / "document.css").read_text(encoding="utf-8")

    def render(self, document: Document) -> str:
        """The whole document."""
        spec = document.spec
        facts = [spec.version and f"Version {spec.version}", spec.status, day(spec.date) if spec.date else ""]
        return self._template.render(
            document=document,
            spec=spec,
            kind=KIND_NAMES[spec.kind],
            facts=[fact for fact in facts if fact],
            contents=_tree(document.sections),
            style=Markup(self._style),  # noqa: S704 - our own file, and the policy names its digest
            policy=self._policy(document),
        )

    def _policy(self, document: Document) -> str:
        """Only our style and what the file itself carries; linked files from its own folder if there are any."""
        digest = base64.b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        beside = "" if all(figure.embedded for figure in document.figures) else " 'self' file:"
        return (
            f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:{beside}; media-src data:{beside}; "
            "base-uri 'none'; form-action 'none'"
        )


class _Branch:
    """A section in the table of contents with what is below it."""

    def __init__(self, section: Section) -> None:
        self.section = section
        self.below: list[_Branch] = []


def _tree(sections: Sequence[Section]) -> list[_Branch]:
    top: list[_Branch] = []
    path: list[_Branch] = []
    for section in sections:
        branch = _Branch(section)
        del path[section.level - 1 :]
        (path[-1].below if path else top).append(branch)
        path.append(branch)
    return top


def _source(file: File, *, embedded: bool) -> str:
    """Address of a file's bytes: inside the document, or beside it."""
    if not embedded:
        return file.path
    return f"data:{file.media_type};base64,{base64.b64encode(file.content).decode()}"
