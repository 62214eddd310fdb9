"""Writes documents in all formats; fonts and templates are loaded with the first document."""

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
_EXTENSIONS: dict[Output, str] = {"markdown": "md", "html": "html", "pdf": "pdf", "bundle": "zip"}
_UNSAFE_CHARACTERS = re.compile(r"[^a-z0-9]+")
_MAX_NAME_CHARS = 60


def write(params: Mapping[str, JsonValue], inputs: Inputs) -> WrittenDocument:
    """Composes a document, and writes each output that its parameters name.

    Raises ComposeError with every problem of parameters and inputs, PdfError when Typst cannot compile the document.
    """
    return _writers().write(params, inputs)


@cache
def _writers() -> _Writers:
    return _Writers()


class _Writers:
    """The writers, whose creation is slow; they are used for all documents."""

    def __init__(self) -> None:
        from soma_documents.pdf import PdfWriter

        self._reader = BodyReader()
        self._html = HtmlWriter()
        self._pdf = PdfWriter()

    def write(self, params: Mapping[str, JsonValue], inputs: Inputs) -> WrittenDocument:
        """Returns the requested outputs in their order, each rendered once."""
        document = compose(read_spec(params), inputs, self._reader)
        writers: dict[Output, Callable[[], bytes]] = {
            "markdown": lambda: markdown.render(document).encode(),
            "html": lambda: self._html.render(document).encode(),
            "pdf": lambda: self._pdf.render(document),
        }
        outputs = document.spec.outputs
        with_bundle = "bundle" in outputs
        contents: dict[Output, bytes] = {
            name: write() for name, write in writers.items() if with_bundle or name in outputs
        }
        if with_bundle:
            rendered = {
                f"document.{_EXTENSIONS[name]}": (MEDIA_TYPES[name], content) for name, content in contents.items()
            }
            contents["bundle"] = bundle.build(document, rendered)
        if document.spec.markdown_figures == "embedded":  # outside of the bundle, which has the files beside it
            contents["markdown"] = markdown.render(document, embed=True).encode()
        files = tuple(_output_file(document, name, contents[name]) for name in outputs)
        return WrittenDocument(files, _summary(document), f"typst {version('typst')}")


def _output_file(document: Document, output: Output, content: bytes) -> OutputFile:
    stem = _UNSAFE_CHARACTERS.sub("-", document.spec.title.casefold())[:_MAX_NAME_CHARS].strip("-") or "document"
    return OutputFile(output, f"{stem}.{_EXTENSIONS[output]}", MEDIA_TYPES[output], content)


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
