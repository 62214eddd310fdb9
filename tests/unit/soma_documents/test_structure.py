"""Where things stand in a document, and how they are numbered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from soma_documents.blocks import (
    FigureBlock,
    Gap,
    MinorHeading,
    Paragraph,
    Table,
    leaves,
    plain_text,
)
from soma_documents.errors import ComposeError
from soma_documents.model import read_spec
from tests.unit.soma_documents.samples import PNG, composed, input_file, inputs, problems, section, simple, small

if TYPE_CHECKING:
    from collections.abc import Mapping


def headings(params: Mapping[str, object]) -> list[str]:
    return [each.heading for each in composed(params, inputs()).sections]


def test_a_specification_has_the_chapters_of_29148_in_their_order_whatever_order_they_are_given_in() -> None:
    params = small()
    params["sections"] = list(reversed(params["sections"]))  # type: ignore[call-overload]
    assert headings(params) == [
        "1 Introduction",
        "1.1 Purpose",
        "1.2 Scope",
        "1.3 Product perspective",
        "1.4 Product functions",
        "1.5 User characteristics",
        "1.6 Limitations",
        "1.7 Definitions",
        "2 References",
        "3 Specific requirements",
        "3.1 Functions",
        "4 Verification",
        "Appendix A. Traceability",
        "Appendix B. Asset register",
    ]


def test_chapters_that_29148_expects_are_marked_when_nothing_is_said() -> None:
    document = composed({"kind": "srs", "title": "Empty"}, {})
    gaps = [leaf.text for each in document.sections for leaf in leaves(each.blocks) if isinstance(leaf, Gap)]
    assert gaps == [
        "Purpose is not stated",
        "Scope is not stated",
        "Product perspective is not stated",
        "Product functions is not stated",
        "User characteristics is not stated",
        "Limitations is not stated",
        "no requirements are stated",
        "there are no requirements to verify",
    ]


def test_parts_given_inside_a_standard_chapter_take_their_place_in_it() -> None:
    params = {
        "kind": "srs",
        "title": "T",
        "sections": [
            {
                "id": "introduction",
                "body": "Hello.",
                "sections": [{"id": "scope", "body": "S"}, {"id": "context", "body": "C"}],
            }
        ],
    }
    document = composed(params, {})
    assert plain_text(section(document, "introduction").blocks) == "Hello."
    assert [section(document, name).heading for name in ("scope", "context")] == ["1.2 Scope", "1.8 Context"]


@pytest.mark.parametrize(
    ("given", "heading"),
    [("functional-requirements", "3.1 Functions"), ("external_interfaces", "3.1 External interfaces")],
)
def test_common_names_of_chapters_are_understood(given: str, heading: str) -> None:
    params = {"kind": "srs", "title": "T", "sections": [{"id": given, "body": "x"}]}
    assert section(composed(params, {}), given).heading == heading


def test_sections_without_a_place_follow_the_requirements_or_become_appendices() -> None:
    params = {
        "kind": "srs",
        "title": "T",
        "sections": [
            {"id": "costs", "body": "Low."},
            {"id": "safety", "requirements": [{"id": "R", "title": "Safe", "verification": "analysis"}]},
        ],
    }
    found = headings(params)
    assert "3.1 Safety" in found
    assert "Appendix A. Costs" in found


def test_a_report_keeps_its_own_sections_and_gets_appendices_for_what_it_has() -> None:
    params = simple(sections=[{"id": "two", "body": "x"}]) | {"references": ["A book"]}
    assert headings(params) == ["1 One", "1.1 Two", "2 References"]


def test_figures_are_numbered_in_the_order_of_reading_and_recordings_apart() -> None:
    document = composed()
    assert [(figure.id, figure.label) for figure in document.figures] == [("plan", "Figure 1"), ("sound", "Audio 1")]


def test_a_figure_follows_the_paragraph_that_first_mentions_it() -> None:
    figures = [{"id": name, "asset": "plan"} for name in ("a", "b", "c")]
    document = composed(
        simple(body="First [[fig:c]].\n\nThen [[fig:a]], [[fig:c]].\n\nEnd.", figures=figures), inputs()
    )
    shape = [
        block.figure.id if isinstance(block, FigureBlock) else plain_text(block)
        for block in document.sections[0].blocks
    ]
    assert shape == ["First Figure 1.", "c", "Then Figure 2, Figure 1.", "a", "End.", "b"]


def test_tables_of_a_document_are_numbered_through() -> None:
    labels = [table.label for table in composed().tables]
    assert labels == [f"Table {number}" for number in range(1, len(labels) + 1)]
    assert len(labels) == 7


def test_a_heading_that_repeats_the_title_of_its_section_is_left_out() -> None:
    document = composed(simple(body="## 1. ONE\n\nText.\n\n## Other\n\n#### Deep"), {})
    kinds = [(type(block), plain_text(block)) for block in document.sections[0].blocks]
    assert kinds == [(Paragraph, "Text."), (MinorHeading, "Other"), (MinorHeading, "Deep")]


def test_a_body_that_a_model_fenced_as_markdown_is_unwrapped() -> None:
    document = composed(simple(body="```markdown\nSome *words*.\n```"), {})
    assert document.sections[0].blocks == composed(simple(body="Some *words*."), {}).sections[0].blocks


def test_every_requirement_has_a_row_with_priority_and_verification() -> None:
    (table,) = [block for block in section(composed(), "functional").blocks if isinstance(block, Table)]
    rows = [[plain_text(cell) for cell in row.cells] for row in table.rows]
    assert rows[0] == [
        "REQ-1",
        "Opens The door shall open within 2 s, see Audio 1. Rationale: Guests wait otherwise.",
        "Must",
        "Test",
        "D-1, T-1, Figure 1 Referred to in Section 1.1",
    ]
    assert rows[1][2:4] == ["Should", "not stated"]


def test_document_control_shows_the_newest_revision_first() -> None:
    params = small()
    params["history"] = [{"version": version, "date": f"2026-01-0{version}"} for version in "12"]
    control, history = composed(params).control
    assert [plain_text(row.cells[0]) for row in history.rows] == ["2", "1"]
    facts = {plain_text(row.cells[0]): plain_text(row.cells[1]) for row in control.rows}
    assert (facts["Date"], facts["Authors"]) == ("16 March 2026", "Ada, Grace")


def test_the_digest_is_of_the_content_alone() -> None:
    same = small() | {"outputs": ["pdf"], "embed_limit_bytes": 0, "provenance": {}}
    assert composed(same).digest == composed().digest
    assert composed(given=inputs() | {"functions": "Other."}).digest != composed().digest
    assert composed(given=inputs() | {"plan.svg": input_file(PNG, "image/png")}).digest != composed().digest


def test_every_fault_of_the_parameters_is_reported_at_once_by_pointer() -> None:
    params = {
        "title": "",
        "kind": "poem",
        "sections": [{"id": "a b"}, {"id": "x", "body": 3}, {"id": "y", "colour": "red"}],
        "references": [{"title": "T", "url": "javascript:alert(1)"}],
    }
    found = problems(params)
    assert set(found) == {
        "/title",
        "/kind",
        "/sections/0/id",
        "/sections/1/body",
        "/sections/2/colour",
        "/references/0/url",
    }
    body = 'must be a text of at most 200000 characters or {"from": "<name of an input>"}'
    assert found["/sections/1/body"] == body


def test_names_given_twice_and_sections_too_deep_are_refused() -> None:
    deep: dict[str, object] = {"id": "d5"}
    for level in range(4, 0, -1):
        deep = {"id": f"d{level}", "sections": [deep]}
    with pytest.raises(ComposeError, match="the section 'd1' is given twice") as caught:
        read_spec({"title": "T", "sections": [deep, {"id": "d1"}]})  # type: ignore[list-item]
    assert "nest deeper than 4 levels" in str(caught.value)


def test_an_error_with_many_faults_stays_readable() -> None:
    with pytest.raises(ComposeError, match=r"and 5 more$"):
        read_spec({"title": "T", "sections": [{"id": f"not an id {number}"} for number in range(25)]})
