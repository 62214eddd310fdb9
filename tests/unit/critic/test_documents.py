"""Outlines of drawings and documents."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfWriter
from pypdf.annotations import Link
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, NullObject, TextStringObject

from svc_critic.adapters.heuristics.decoding import UndecodableError
from svc_critic.adapters.heuristics.documents.html import parse_html
from svc_critic.adapters.heuristics.documents.markdown import parse_markdown
from svc_critic.adapters.heuristics.documents.pdf import parse_pdf
from svc_critic.adapters.heuristics.svg import measure_drawing, parse_svg, rasterize
from svc_critic.domain.asset import EvaluationContext
from svc_critic.domain.outline import Outline, measure_outline

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 100"><defs><path id="head" d="M0 0L4 2"/></defs>'
    '<rect width="80" height="30"/><text x="9" y="9"><tspan>User</tspan><tspan>store</tspan></text>'
    '<foreignObject width="50" height="20"><div xmlns="http://www.w3.org/1999/xhtml">Mail <b>gateway</b></div>'
    '</foreignObject><path d="M0 0L9 9" fill="none" marker-end="url(#head)"/></svg>'
)


def test_parts_of_a_drawing_are_counted() -> None:
    drawing = parse_svg(SVG.encode())
    assert drawing.texts == ("User store", "Mail gateway")
    assert (drawing.shapes, drawing.edges) == (2, 1)
    assert (drawing.width, drawing.height) == (200, 100)


def test_edges_are_compared_with_the_arrows_of_the_source() -> None:
    context = EvaluationContext("graph TD\n A --> B\n B -->|yes| C\n C -.-> A")
    (found,) = measure_drawing(parse_svg(SVG.encode()), context)
    assert found.feedback is not None
    assert (found.feedback.code, found.feedback.hint) == ("MISSING_ELEMENT", {"edges": 3})
    assert found.score < 0.6


def test_words_with_hyphens_are_no_arrows() -> None:
    assert not list(
        measure_drawing(parse_svg(SVG.encode()), EvaluationContext("the sign-in service -- and its user-store"))
    )


@pytest.mark.parametrize(
    "text",
    [
        SVG[:-9],
        "<html></html>",
        "<svg xmlns='http://www.w3.org/2000/svg'/>",
        '<!DOCTYPE svg [<!ENTITY a "aaaa">]>' + SVG,
    ],
)
def test_what_is_no_drawing_is_told(text: str) -> None:
    with pytest.raises(UndecodableError):
        parse_svg(text.encode())


def test_a_drawing_that_loads_files_is_not_painted() -> None:
    content = SVG.replace("<rect", '<image href="file:///etc/hostname"/><rect').encode()
    drawing = parse_svg(content)
    assert drawing.external_urls == ("file:///etc/hostname",)
    assert rasterize(content, drawing) is None


def test_a_drawing_that_multiplies_itself_is_not_painted() -> None:
    twice = '<g id="a"><use href="#head"/><use href="#head"/></g><use href="#a"/>'
    content = SVG.replace("<rect", f"{twice}<rect").encode()
    assert rasterize(content, parse_svg(content)) is None


def test_html_links_and_figures() -> None:
    outline = parse_html(
        '<style>h1{}</style><h1>Title</h1><p id="here">Text <a href="#here">a</a> <a href="#gone">b</a>'
        ' <a href="https://example.org#x">c</a></p><img src="data:image/png;base64,AA" alt="one">'
        '<img src="x.png"><svg/>'
    )
    assert outline.dead_references == ("#gone",)
    assert (outline.references, outline.figures, outline.missing_figures, outline.figures_without_alt_text) == (
        2,
        3,
        ("x.png",),
        1,
    )
    assert outline.text.splitlines()[0] == "Title"


def test_markdown_headings_are_targets() -> None:
    outline = parse_markdown(
        "# The `API`\n\n## Parts & pieces\n\n## Parts & pieces\n\n[a](#the-api) "
        "[b](#parts--pieces-1) [c](#none) [d][lost]\n"
    )
    assert outline.dead_references == ("#none", "[lost]")
    assert outline.headings == (1, 2, 2)


def test_markdown_figures_need_an_address() -> None:
    outline = parse_markdown("![one](one.png) ![two]()")
    assert (outline.figures, outline.missing_figures) == (2, ("two",))


def pdf(dead: bool) -> bytes:
    writer = PdfWriter()
    for _ in range(2):
        writer.add_blank_page(width=200, height=200)
    writer.add_annotation(0, Link(rect=(0, 0, 10, 10), target_page_index=1))
    if dead:
        lost = DictionaryObject(
            {
                NameObject("/Type"): NameObject("/Annot"),
                NameObject("/Subtype"): NameObject("/Link"),
                NameObject("/Dest"): TextStringObject("nowhere"),
                NameObject("/Rect"): ArrayObject(),
            }
        )
        empty = DictionaryObject({**lost, NameObject("/Dest"): ArrayObject([NullObject()])})
        notes = writer.pages[0]["/Annots"]
        assert isinstance(notes, ArrayObject)
        notes.extend([lost, empty])
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def test_pdf_links_are_followed() -> None:
    assert parse_pdf(pdf(dead=False)).dead_references == ()
    assert parse_pdf(pdf(dead=True)).dead_references == ("nowhere", "a page that is not there")


def test_blank_pages_are_counted() -> None:
    outline = parse_pdf(pdf(dead=False))
    assert (outline.pages, outline.blank_pages) == (2, 2)


@given(st.binary(max_size=300))
def test_a_broken_pdf_is_told(content: bytes) -> None:
    with pytest.raises(UndecodableError):
        parse_pdf(b"%PDF-1.7\n" + content)


def codes(outline: Outline, bar: float = 0.7) -> list[str]:
    measurements = measure_outline(outline, EvaluationContext())
    return [
        measurement.feedback.code
        for measurement in measurements
        if measurement.feedback is not None and measurement.score < bar
    ]


WORDS = "The control room points the antenna dish at the source that the schedule names for the next hour. "


def test_a_figure_that_is_spoken_of_and_not_there_is_a_dead_reference() -> None:
    text = f"{WORDS}See Figure 1 and Figure 2.\nFigure 1: the dish\n"
    assert codes(Outline(text, (1,))) == ["DEAD_REFERENCE"]


def test_a_document_without_captions_may_speak_of_figures() -> None:
    assert codes(Outline(f"{WORDS}See Figure 2 of the manual.", (1,))) == []


def test_a_long_document_needs_headings() -> None:
    assert codes(Outline(WORDS * 20, ())) == ["UNSTRUCTURED"]
    assert codes(Outline(WORDS * 20, (1, 2))) == []
    assert codes(Outline(WORDS * 20, (1, 4, 1, 4))) == ["UNSTRUCTURED"]
