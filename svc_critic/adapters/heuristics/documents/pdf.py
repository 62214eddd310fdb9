"""The outline of PDF."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pypdf import PdfReader
from pypdf.errors import PyPdfError
from pypdf.generic import ArrayObject, DictionaryObject, IndirectObject, NullObject

from svc_critic.adapters.heuristics.decoding import UndecodableError
from svc_critic.domain.outline import Outline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pypdf import PageObject

MAX_PAGES = 60
"""Most pages that are read: extracting the text of one takes some ten milliseconds."""


def parse_pdf(content: bytes) -> Outline:
    """Returns the outline of a document, without headings, which a PDF does not mark."""
    try:
        reader = PdfReader(io.BytesIO(content), strict=False)
        if reader.is_encrypted:
            raise UndecodableError("the PDF is encrypted")
        if not reader.pages:
            raise UndecodableError("the PDF has no pages")
        return _outline(reader)
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, OSError, RecursionError) as error:
        raise UndecodableError("the PDF is damaged or cut off") from error


def _outline(reader: PdfReader) -> Outline:
    pages = reader.pages[:MAX_PAGES]
    texts = [page.extract_text() for page in pages]
    pictures = [_pictures(page) for page in pages]
    blank = sum(
        not text.strip() and not forms and _is_plain(page)
        for page, text, forms in zip(pages, texts, pictures, strict=True)
    )
    named = frozenset(reader.named_destinations)
    targets = [target for page in pages for target in _targets(page)]
    dead = [_describe(target) for target in targets if not _exists(target, named)]
    return Outline(
        text="\n".join(texts),
        headings=(),
        references=len(targets),
        dead_references=tuple(dict.fromkeys(dead)),
        figures=sum(pictures),
        pages=len(pages),
        blank_pages=blank,
        has_structure=False,
    )


def _pictures(page: PageObject) -> int:
    """Counts the images and forms that a page uses."""
    resources = _resolve(page.get("/Resources"))
    forms = _resolve(resources.get("/XObject")) if isinstance(resources, DictionaryObject) else None
    return len(forms) if isinstance(forms, DictionaryObject) else 0


def _is_plain(page: PageObject) -> bool:
    """Whether a page without text and pictures has no lines either."""
    contents = page.get_contents()
    return contents is None or len(contents.get_data().split()) < 20  # noqa: PLR2004 - operators of an empty page


def _targets(page: PageObject) -> Iterator[object]:
    """Returns the destinations of the links within the document."""
    annotations = _resolve(page.get("/Annots"))
    for annotation in annotations if isinstance(annotations, ArrayObject) else ():
        link = _resolve(annotation)
        if not isinstance(link, DictionaryObject) or link.get("/Subtype") != "/Link":
            continue
        action = _resolve(link.get("/A"))
        if isinstance(action, DictionaryObject) and action.get("/S") == "/GoTo":
            yield _resolve(action.get("/D"))
        elif "/Dest" in link:
            yield _resolve(link.get("/Dest"))


def _exists(target: object, named: frozenset[str]) -> bool:
    if isinstance(target, ArrayObject):
        page = _resolve(target[0]) if target else None
        return isinstance(page, (DictionaryObject, int))
    return str(target) in named or str(target).lstrip("/") in named


def _describe(target: object) -> str:
    return "a page that is not there" if isinstance(target, ArrayObject) else str(target)


def _resolve(value: object) -> object:
    """Resolves a reference; None for one to nothing."""
    resolved = value.get_object() if isinstance(value, IndirectObject) else value
    return None if isinstance(resolved, NullObject) else resolved
