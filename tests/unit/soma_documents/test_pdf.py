"""PDF: bookmarks, links, sharp figures, words as given, equal bytes for equal documents."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soma_documents.pdf import PdfWriter
from tests.unit.soma_documents.samples import composed, inputs, simple, small

if TYPE_CHECKING:
    from soma_documents.document import Document

WRITER = PdfWriter()


def opened(document: Document) -> pypdf.PdfReader:
    return pypdf.PdfReader(io.BytesIO(WRITER.render(document)))


def words(reader: pypdf.PdfReader) -> str:
    return " ".join(" ".join(page.extract_text().split()) for page in reader.pages)


@pytest.fixture(scope="module")
def reader() -> pypdf.PdfReader:
    return opened(composed())


def test_bookmarks_are_the_numbered_headings(reader: pypdf.PdfReader) -> None:
    def titles(outline: object) -> list[str]:
        return [
            title
            for entry in outline  # type: ignore[attr-defined]
            for title in (titles(entry) if isinstance(entry, list) else [" ".join(str(entry.title).split())])
        ]

    found = titles(reader.outline)
    assert found[:3] == ["1 Introduction", "1.1 Purpose", "1.2 Scope"]
    assert found[-1] == "Appendix B Asset register"


def test_links_lead_inside_and_to_the_web(reader: pypdf.PdfReader) -> None:
    actions = [
        annotation.get_object().get("/A", {}).get("/URI", "inside")
        for page in reader.pages
        for annotation in page.get("/Annots", [])
    ]
    assert actions.count("inside") > 30
    assert "https://example.org/wall" in actions
    assert "assets/sound.wav" in actions


def test_the_words_are_there_with_their_numbers(reader: pypdf.PdfReader) -> None:
    text = words(reader)
    pages = len(reader.pages)
    for part in ("The door shall open within 2 s", "Figure 1.", "Audio 1.", "no test", f"Page {pages} of {pages}"):
        assert part in text


def test_the_file_says_its_title_and_authors_and_no_time(reader: pypdf.PdfReader) -> None:
    about = reader.metadata
    assert about is not None
    assert (about.title, about.author) == ("Door: requirements", "Ada, Grace")
    assert about.creation_date is None or about.creation_date.year == 1970


def test_the_file_is_tagged_for_readers_that_speak(reader: pypdf.PdfReader) -> None:
    assert reader.root_object.get("/MarkInfo", {}) == {"/Marked": True, "/Suspects": False}
    assert str(reader.root_object.get("/Lang")) == "en"


def test_equal_documents_give_equal_bytes() -> None:
    assert WRITER.render(composed()) == PdfWriter().render(composed())


MARKUP = '#panic("x") #read("/etc/passwd") $x^2$ *a* _b_ @ref <label> = head // note \\ `#raw` #{1+1} ]] } " ~ --- ...'


def test_words_that_look_like_typst_are_words() -> None:
    requirement = {"id": "R", "title": MARKUP, "text": "x"}
    text = words(
        opened(composed(simple(title=MARKUP, requirements=[requirement]) | {"title": MARKUP, "authors": [MARKUP]}, {}))
    )
    for part in ('#panic("x")', "$x^2$", "@ref <label> = head // note", "#{1+1}"):
        assert part in text


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=300), st.text(min_size=1, max_size=60))
def test_no_words_stop_it(body: str, title: str) -> None:
    line = " ".join(title.split()) or "x"
    params = simple(title=line, body=body) | {"title": line, "kind": "design_note", "missing_assets": "mark"}
    assert WRITER.render(composed(params, {})).startswith(b"%PDF")


@pytest.mark.parametrize(
    "body",
    [
        ">" * 50 + " deep",
        "\n".join("  " * depth + "- x" for depth in range(40)),
        "| a |\n| --- |\n" + "| b |\n" * 500,
        "x" * 20_000,
        "[a](https://example.org/%00%ff)",
        "999999999. item",
        "```\n" + "long line " * 300 + "\n```",
        "***\n***\n",
        "# \n\n> \n\n- \n\n| |\n| --- |\n",
    ],
)
def test_odd_shapes_are_set(body: str) -> None:
    assert WRITER.render(composed(simple(body=body), {})).startswith(b"%PDF")


def test_a_requirement_longer_than_a_page_is_not_cut_off() -> None:
    text = " ".join(f"w{number}" for number in range(3_000))
    found = words(opened(composed(simple(requirements=[{"id": "R", "title": "Long", "text": text}]), {})))
    assert "w2999" in found


def test_missing_figures_are_marked() -> None:
    reader = opened(composed(small() | {"missing_assets": "mark"}, {"functions": inputs()["functions"]}))
    assert "Figure 1 is missing: plan" in words(reader)
