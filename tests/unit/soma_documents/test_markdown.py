"""Markdown: reads as text, says exactly what was given."""

from __future__ import annotations

import base64
from pathlib import Path

from hypothesis import assume, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from soma_documents.blocks import Break, Code, Styled, Text, plain_text
from soma_documents.markdown import escape, inline, render
from tests.unit.soma_documents.samples import PNG, READER, composed, inputs, simple, small

GOLDEN = Path(__file__).parent / "golden" / "small.md"
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.sampled_from(" #*_`[]()<>|\\~&!+-=.1"))


def test_the_small_specification_is_written_as_reviewed() -> None:
    assert render(composed()) == GOLDEN.read_text(encoding="utf-8")


@given(WORDS)
def test_escaped_words_read_back_as_they_were(text: str) -> None:
    once = " ".join(text.split())
    blocks = READER.read(escape(once))
    assert plain_text(blocks) == once


@given(WORDS)
def test_code_reads_back_as_it_was(text: str) -> None:
    once = " ".join(text.split())
    assume(once)
    (paragraph,) = READER.read(f"x {inline((Code(once),))}")
    assert Code(once) in getattr(paragraph, "children", ())


@given(WORDS)
def test_words_never_open_html(text: str) -> None:
    parser = MarkdownIt("commonmark", {"html": True})
    tokens = parser.parse(escape(text))
    inner = [child.type for token in tokens for child in token.children or ()]
    assert not {"html_block", "html_inline"} & {*(token.type for token in tokens), *inner}


def test_what_was_written_survives_the_way_through_the_tree() -> None:
    body = (
        "A *b* **c** ~~d~~ `e|f` [g](https://example.org/h).\n\n1. one\n2. two\n   - nested\n\n"
        "> quoted\n\n```python\nprint(1)\n```\n\n| a | b |\n| --- | --- |\n| 1 | 2 \\| 3 |\n\n---\n\n## Sub"
    )
    document = composed(simple(body=body), {})
    text = render(document)
    again = READER.read(text[text.index("## 1 One") + len("## 1 One") :])
    assert again == document.sections[0].blocks


def test_a_line_break_in_a_table_is_a_break_and_elsewhere_a_backslash() -> None:
    line = (Text("a"), Break(), Styled("strong", (Text("b"),)))
    assert inline(line, in_table=True) == "a<br>**b**"
    assert inline(line) == "a\\\n**b**"


def test_embedded_figures_hold_their_pixels() -> None:
    document = composed(small() | {"markdown_figures": "embedded"})
    text = render(document, embed=True)
    assert f"](data:image/png;base64,{base64.b64encode(PNG).decode()})" in text
    [picture] = [token for token in _images(text) if token.startswith("data:image/png")]
    assert base64.b64decode(picture.partition(",")[2]) == PNG


def test_a_figure_above_the_limit_stays_linked() -> None:
    text = render(composed(small() | {"embed_limit_bytes": 1}), embed=True)
    assert "](data:" not in text
    assert "](assets/" in text


def _images(text: str) -> list[str]:
    """Addresses of the pictures that a reader of Markdown shows."""
    return [
        str(child.attrs["src"])
        for token in MarkdownIt().parse(text)
        for child in token.children or ()
        if child.type == "image"
    ]


def test_figures_link_to_the_files_of_the_bundle_and_gaps_are_marked() -> None:
    document = composed(
        simple(figures=[{"id": "a", "asset": "sound"}, {"id": "b", "asset": "none"}]) | {"missing_assets": "mark"},
        {"sound": inputs()["sound"]},
    )
    text = render(document)
    assert "[▶ sound (WAV, 0:00, 444 bytes)](assets/sound.wav)" in text
    assert "**\\[Gap: Figure 1 is missing: none\\]**" in text
