"""The outline of PDF."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pypdf import PdfReader
from pypdf.errors import PyPdfError
from pypdf.generic import ArrayObject, DictionaryObject, IndirectObject, NullObject

from svc_critic.adapters.heuristics.decoding import Undecodable
from svc_critic.domain.outline import Outline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pypdf import PageObject

MOST_PAGES = 60
"""Pages that are looked at: reading the text of one takes some ten milliseconds."""


def outline_of_pdf(content: bytes) -> Outline:
    """What a document is made of; headings are not told apart from text, so they are not judged."""
    try:
        reader = PdfReader(io.BytesIO(content), strict=False)
        if reader.is_encrypted:
            raise Undecodable("the PDF is encrypted")
        if not reader.pages:
            raise Undecodable("the PDF has no pages")
        return _outline(reader)
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, OSError, RecursionError) as error:
        raise Undecodable("the PDF is damaged or cut off") from error


def _outline(reader: PdfReader) -> Outline:
    pages = reader.pages[:MOST_PAGES]
    texts = [page.extract_text() for page in pages]
    pictures = [_pictures(page) for page in pages]
    blank = sum(
        not text.strip() and not shown and _is_plain(page)
        for page, text, shown in zip(pages, texts, pictures, strict=True)
    )
    named = frozenset(reader.named_destinations)
    targets = [target for page in pages for target in _targets(page)]
    dead = [_describe(target) for target in targets if not _leads_somewhere(target, named)]
    return Outline(
        text="\n".join(texts),
        headings=(),
        references=len(targets),
        dead=tuple(dict.fromkeys(dead)),
        figures=sum(pictures),
        pages=len(pages),
        blank_pages=blank,
        outlined=False,
    )


def _pictures(page: PageObject) -> int:
    """Pictures and drawn forms that a page uses."""
    resources = _object(page.get("/Resources"))
    shown = _object(resources.get("/XObject")) if isinstance(resources, DictionaryObject) else None
    return len(shown) if isinstance(shown, DictionaryObject) else 0


def _is_plain(page: PageObject) -> bool:
    """Whether a page without text and pictures draws no lines either."""
    contents = page.get_contents()
    return contents is None or len(contents.get_data().split()) < 20  # noqa: PLR2004 - operators of an empty page


def _targets(page: PageObject) -> Iterator[object]:
    """Destinations of the links that stay within the document."""
    notes = _object(page.get("/Annots"))
    for note in notes if isinstance(notes, ArrayObject) else ():
        link = _object(note)
        if not isinstance(link, DictionaryObject) or link.get("/Subtype") != "/Link":
            continue
        action = _object(link.get("/A"))
        if isinstance(action, DictionaryObject) and action.get("/S") == "/GoTo":
            yield _object(action.get("/D"))
        elif "/Dest" in link:
            yield _object(link.get("/Dest"))


def _leads_somewhere(target: object, named: frozenset[str]) -> bool:
    if isinstance(target, ArrayObject):
        page = _object(target[0]) if target else None
        return isinstance(page, (DictionaryObject, int))
    return str(target) in named or str(target).lstrip("/") in named


def _describe(target: object) -> str:
    return "a page that is not there" if isinstance(target, ArrayObject) else str(target)


def _object(value: object) -> object:
    """What a value stands for; None for a reference to nothing."""
    found = value.get_object() if isinstance(value, IndirectObject) else value
    return None if isinstance(found, NullObject) else found
