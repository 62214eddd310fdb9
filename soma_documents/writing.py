"""Writes documents in every format; fonts and templates are read with the first and then kept."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from soma_documents import bundle, markdown
from soma_documents.body import BodyReader
from soma_documents.compose import compose
from soma_documents.files import DocumentSummary, OutputFile, WrittenDocument
from soma_documents.html import HtmlWriter
from soma_documents.model import read_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from soma_documents.document import Document
    from soma_documents.files import Inputs
    from soma_documents.model import JsonValue, Output

MEDIA_TYPES: dict[Output, str] = {
    "markdown": "text/markdown",
    "html": "text/html",
    "pdf": "application/pdf",
    "bundle": "application/zip",
}
_ENDINGS: dict[Output, str] = {"markdown": "md", "html": "html", "pdf": "pdf", "bundle": "zip"}
_UNSAFE = re.compile(r"[^a-z0-9]+")
_LONGEST_NAME = 60


def write(params: Mapping[str, JsonValue], inputs: Inputs) -> WrittenDocument:
    """Composes a document of the inputs that its parameters name, and writes every output that they ask for.

    Raises ComposeError with every fault of the parameters and inputs, PdfError when Typst refuses the document.
    """
    return _writers().write(params, inputs)


@cache
def _writers() -> _Writers:
    return _Writers()


class _Writers:
    """The writers, which are slow to make and then serve every document."""

    def __init__(self) -> None:
        from soma_documents.pdf import PdfWriter

        self._reader = BodyReader()
        self._html = HtmlWriter()
        self._pdf = PdfWriter()

    def write(self, params: Mapping[str, JsonValue], inputs: Inputs) -> WrittenDocument:
        """Every output that was asked for, in that order, each rendered once."""
        document = compose(read_spec(params), inputs, self._reader)
        writers: dict[Output, Callable[[], bytes]] = {
            "markdown": lambda: markdown.render(document).encode(),
            "html": lambda: self._html.render(document).encode(),
            "pdf": lambda: self._pdf.render(document),
        }
        wanted = document.spec.outputs
        bundled = "bundle" in wanted
        done: dict[Output, bytes] = {name: write() for name, write in writers.items() if bundled or name in wanted}
        if bundled:
            rendered = {f"document.{_ENDINGS[name]}": (MEDIA_TYPES[name], content) for name, content in done.items()}
            done["bundle"] = bundle.build(document, rendered)
        if document.spec.markdown_figures == "embedded":  # outside of the bundle, which has the files beside it
            done["markdown"] = markdown.render(document, embed=True).encode()
        files = tuple(_output_file(document, name, done[name]) for name in wanted)
        return WrittenDocument(files, _summary(document), f"typst {version('typst')}")


def _output_file(document: Document, output: Output, content: bytes) -> OutputFile:
    stem = _UNSAFE.sub("-", document.spec.title.casefold())[:_LONGEST_NAME].strip("-") or "document"
    return OutputFile(output, f"{stem}.{_ENDINGS[output]}", MEDIA_TYPES[output], content)


def _summary(document: Document) -> DocumentSummary:
    spec = document.spec
    return DocumentSummary(
        title=spec.title,
        kind=spec.kind,
        version=spec.version,
        content_sha256=document.digest,
        sections=len(document.sections),
        figures=len(document.figures),
        tables=len(document.tables),
        gaps=document.gaps,
    )
