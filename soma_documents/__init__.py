"""Composes specifications, reports and design notes, as Markdown, HTML, PDF and a bundle that can be verified.

`write` composes a document from parameters and inputs, `compare` returns the differences of two. The parameters are
JSON; `docs/documents.md` describes them. Both functions keep a core busy for up to seconds, and use neither network
nor clock: run them in a child process. Their arguments, results and errors can be pickled.
"""

from soma_documents.bundle import verify_bundle, verify_files
from soma_documents.diff import Change, ChangeKind, DocumentDiff, RenderedDiff
from soma_documents.errors import ComposeError, PdfError, Problem
from soma_documents.files import DocumentSummary, InputFile, Inputs, OutputFile, SvgInspection, WrittenDocument
from soma_documents.model import DocumentSpec, JsonValue, read_spec
from soma_documents.revisions import compare
from soma_documents.writing import write

__all__ = [
    "Change", "ChangeKind", "ComposeError", "DocumentDiff", "DocumentSpec", "DocumentSummary", "InputFile", "Inputs",
    "JsonValue", "OutputFile", "PdfError", "Problem", "RenderedDiff", "SvgInspection", "WrittenDocument", "compare",
    "read_spec", "verify_bundle", "verify_files", "write",
]  # fmt: skip
