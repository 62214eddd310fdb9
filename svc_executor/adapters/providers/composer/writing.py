"""Writes documents in every format; a function for child processes, which keep fonts and templates."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from svc_executor.adapters.providers.composer import bundle, markdown
from svc_executor.adapters.providers.composer.body import BodyReader
from svc_executor.adapters.providers.composer.compose import compose
from svc_executor.adapters.providers.composer.html import HtmlWriter
from svc_executor.adapters.providers.composer.model import read
from svc_executor.adapters.providers.composer.problems import ComposeError, PdfError
from svc_executor.domain.provider import Artefact, Failure, Fault, InvocationResult, ProviderError, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from svc_executor.adapters.providers.composer.document import Document
    from svc_executor.adapters.providers.composer.model import Output
    from svc_executor.domain.provider import InputArtefact, JsonValue

MEDIA_TYPES: dict[Output, str] = {
    "markdown": "text/markdown",
    "html": "text/html",
    "pdf": "application/pdf",
    "bundle": "application/zip",
}
_ENDINGS: dict[Output, str] = {"markdown": "md", "html": "html", "pdf": "pdf", "bundle": "zip"}
_UNSAFE = re.compile(r"[^a-z0-9]+")
_LONGEST_NAME = 60


def make(params: Mapping[str, JsonValue], inputs: Mapping[str, InputArtefact | str]) -> InvocationResult:
    """Compose and write every output that was asked for; raise ProviderError."""
    try:
        return _writers().write(params, inputs)
    except ComposeError as error:
        first = error.problems[0].pointer
        raise ProviderError(Failure.INVALID_INPUT, f"the document has faults: {error}", pointer=first) from None
    except PdfError as error:
        refused = ProviderError(
            Failure.UNAVAILABLE, "the PDF could not be set, for a reason of ours", fault=Fault.PLATFORM
        )
        refused.add_note(f"Typst refused it: {error}")
        raise refused from error


@cache
def _writers() -> _Writers:
    return _Writers()


class _Writers:
    """The writers, which are slow to make and then serve every document."""

    def __init__(self) -> None:
        from svc_executor.adapters.providers.composer.pdf import PdfWriter

        self._reader = BodyReader()
        self._html = HtmlWriter()
        self._pdf = PdfWriter()

    def write(self, params: Mapping[str, JsonValue], inputs: Mapping[str, InputArtefact | str]) -> InvocationResult:
        """Every output that was asked for, in that order, each rendered once."""
        document = compose(read(params), inputs, self._reader)
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
        facts = _facts(document)
        return InvocationResult(
            artefacts=tuple(_artefact(document, name, done[name], facts) for name in wanted),
            usage=Usage(calls=1),
            model=f"typst {version('typst')}",
            metadata=facts,
        )


def _artefact(document: Document, name: Output, content: bytes, facts: Mapping[str, JsonValue]) -> Artefact:
    stem = _UNSAFE.sub("-", document.spec.title.casefold())[:_LONGEST_NAME].strip("-") or "document"
    return Artefact(
        content=content,
        media_type=MEDIA_TYPES[name],
        filename=f"{stem}.{_ENDINGS[name]}",
        asset_type="bundle" if name == "bundle" else "document",
        metadata=facts,
    )


def _facts(document: Document) -> dict[str, JsonValue]:
    """What can be said of a document without opening it."""
    spec = document.spec
    return {
        "title": spec.title,
        "kind": spec.kind,
        "version": spec.version,
        "content_sha256": document.digest,
        "sections": len(document.sections),
        "figures": len(document.figures),
        "tables": len(document.tables),
        "gaps": list(document.gaps),
    }
