"""Cross references and traceability: right, both ways, and honest about what is missing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from soma_documents.blocks import Code, FigureBlock, Gap, InternalLink, leaves, plain_text
from soma_documents.model import CaseSpec, DesignElementSpec, FigureSpec, RequirementSpec
from soma_documents.trace_matrix import build_trace_matrix
from tests.unit.soma_documents.samples import composed, inputs, problems, section, simple, small


def test_a_reference_becomes_the_number_of_its_target() -> None:
    text = plain_text(section(composed(), "purpose").blocks)
    assert text == "Says what the door must do, see REQ-1 and Section 1.2."


def test_targets_know_who_points_at_them() -> None:
    document = composed()
    assert [jump.text for jump in section(document, "scope").backlinks] == ["Section 1.1"]
    (figure,) = [block for block in section(document, "scope").blocks if isinstance(block, FigureBlock)]
    assert [jump.text for jump in figure.backlinks] == ["Section 1.2", "REQ-1"]
    references = plain_text(section(document, "references").blocks)
    assert "The wallSection 1.3" in references


def test_every_link_of_a_document_leads_somewhere() -> None:
    document = composed()
    anchors = {each.anchor for each in document.sections} | {figure.anchor for figure in document.figures}
    anchors |= {row.anchor for each in document.sections for block in each.blocks for row in getattr(block, "rows", ())}
    jumps = {
        leaf.anchor for each in document.sections for leaf in leaves(each.blocks) if isinstance(leaf, InternalLink)
    }
    assert jumps <= anchors


def test_a_reference_to_nothing_is_an_error_that_names_it() -> None:
    requirement = {"id": "R-1", "title": "T", "rationale": "By [[req:R-9]]."}
    assert problems(simple(body="See [[fig:nowhere]].", requirements=[requirement]), {}) == {
        "/sections/0/body": "there is no figure 'nowhere' to refer to",
        "/sections/0/requirements/0/rationale": "there is no requirement 'R-9' to refer to",
    }


def test_a_reference_to_nothing_is_marked_when_gaps_are_allowed() -> None:
    document = composed(simple(body="See [[fig:nowhere]].") | {"missing_assets": "mark"}, {})
    assert [leaf for leaf in leaves(document.sections[0].blocks) if isinstance(leaf, Gap)] == [
        Gap("missing figure nowhere")
    ]
    assert document.gaps == ("there is no figure 'nowhere' to refer to",)


def test_what_looks_like_a_reference_inside_code_stays_as_it_is() -> None:
    document = composed(simple(body="Write `[[fig:x]]`."), {})
    assert Code("[[fig:x]]") in leaves(document.sections[0].blocks)


def test_traceability_shows_both_ways_and_the_gaps() -> None:
    text = plain_text(section(composed(), "traceability").blocks)
    assert "Of 2 requirements, 1 lead to a design element and 1 to a test." in text
    for gap in ("REQ-2 has no design element", "REQ-2 has no test", "design element D-2 has no requirement"):
        assert gap in text


def test_a_link_to_what_does_not_exist_is_a_gap_of_the_matrix() -> None:
    params = small()
    params["tests"] = [{"id": "T-1", "title": "Push", "verifies": ["REQ-1", "REQ-7"]}]
    gaps = composed(params, inputs()).gaps
    assert "test T-1 names REQ-7, which does not exist" in gaps


def test_a_requirement_verified_by_inspection_needs_no_test() -> None:
    requirement = RequirementSpec(id="R", title="R", verification="inspection", traces_to=("D",))
    matrix = build_trace_matrix([requirement], [DesignElementSpec(id="D", title="D")], [], [])
    assert matrix.gaps == ()


IDS = [f"i{number}" for number in range(4)]
SOME = st.lists(st.sampled_from([*IDS, "unknown"]), max_size=5).map(tuple)


@given(st.lists(SOME, min_size=4, max_size=4), st.lists(SOME, min_size=4, max_size=4))
def test_every_link_stands_in_both_directions(traced: list[tuple[str, ...]], verified: list[tuple[str, ...]]) -> None:
    requirements = [
        RequirementSpec(id=name, title=name, traces_to=tuple(f"{kind}-{each}" for each in to for kind in "dtf"))
        for name, to in zip(IDS, traced, strict=True)
    ]
    design = [DesignElementSpec(id=f"d-{name}", title=name) for name in IDS]
    tests = [CaseSpec(id=f"t-{name}", title=name, verifies=to) for name, to in zip(IDS, verified, strict=True)]
    figures = [FigureSpec(id=f"f-{name}", asset=name) for name in IDS]
    matrix = build_trace_matrix(requirements, design, tests, figures)
    ahead = {(row.requirement, to) for row in matrix.forward for to in (*row.design, *row.tests, *row.assets)}
    back = {(name, row.target) for row in (*matrix.design, *matrix.tests, *matrix.assets) for name in row.requirements}
    assert ahead == back
    assert ahead == {
        *(
            (name, f"{kind}-{to}")
            for name, each in zip(IDS, traced, strict=True)
            for to in each
            if to in IDS
            for kind in "dtf"
        ),
        *((to, f"t-{name}") for name, each in zip(IDS, verified, strict=True) for to in each if to in IDS),
    }
