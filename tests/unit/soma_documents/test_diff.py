"""Differences between revisions."""

from __future__ import annotations

import pytest

from soma_documents.diff import Change, ChangeKind, DocumentDiff, diff, render_diff
from soma_documents.revisions import MAX_CHANGES, MAX_CHARS, truncate
from tests.unit.soma_documents.samples import SVG, composed, input_file, inputs, small


def test_equal_revisions_have_no_differences() -> None:
    difference = diff(composed(), composed())
    assert difference.is_empty
    assert render_diff(difference) == "# Changes from version 1.0 to 1.0\n\nThe two say and show the same.\n"


def test_changed_words_are_shown_by_the_sentence() -> None:
    params = small() | {"version": "1.1"}
    params["sections"][0]["body"] = "Says what the *door* shall do. And more."  # type: ignore[index]
    difference = diff(composed(), composed(params))
    changes = {(change.part, change.id): change for change in difference.changes}
    assert set(changes) == {("document", "version"), ("section", "purpose")}
    assert "+ And more." in changes["section", "purpose"].lines


def test_a_figure_changes_with_its_bytes() -> None:
    redrawn = inputs() | {"plan.svg": input_file(SVG.replace(b"40", b"44"), "image/svg+xml")}
    (change,) = diff(composed(), composed(given=redrawn)).changes
    assert (change.part, change.id, change.kind) == ("figure", "plan", ChangeKind.CHANGED)
    assert [line[0] for line in change.lines].count("+") == 1


def test_requirements_come_and_go() -> None:
    params = small()
    requirements = params["sections"][5]["requirements"]  # type: ignore[index]
    requirements[1] = {"id": "REQ-3", "title": "Locks", "text": "It shall lock."}
    kinds = {change.id: change.kind for change in diff(composed(), composed(params)).changes}
    assert kinds == {"REQ-3": ChangeKind.ADDED, "REQ-2": ChangeKind.REMOVED}


def test_a_new_number_alone_is_no_change() -> None:
    params = small()
    params["sections"].insert(0, {"id": "introduction", "sections": [{"id": "extra", "body": "x"}]})  # type: ignore[attr-defined]
    assert {change.id for change in diff(composed(), composed(params)).changes} == {"extra"}


def test_the_report_says_how_much_changed_and_what() -> None:
    params = small() | {"version": "2.0"}
    params["glossary"] = [{"term": "Door", "definition": "A hole with a ```lid```."}]
    text = render_diff(diff(composed(), composed(params)))
    assert text == (
        "# Changes from version 1.0 to 2.0\n\n"
        "- document: 1 changed\n- term: 1 changed\n\n"
        "## Document\n\n### Version (changed)\n\n```diff\n  Version\n- 1.0\n+ 2.0\n```\n\n"
        "## Terms\n\n### Door: Door (changed)\n\n"
        "````diff\n  Door\n- A wall that *moves*.\n+ A hole with a ```lid```.\n````\n"
    )


@pytest.mark.parametrize(
    "changes",
    [
        [Change("term", str(number), "t", ChangeKind.ADDED) for number in range(MAX_CHANGES + 1)],
        [Change("section", "s", "t", ChangeKind.ADDED, ("+ " + "x" * 1_000,) * (MAX_CHARS // 1_000))],
    ],
    ids=["changes", "characters"],
)
def test_differences_are_bounded_and_say_so(changes: list[Change]) -> None:
    shown = truncate(DocumentDiff("1", "2", tuple(changes)))
    assert shown.truncated
    assert len(shown.changes) <= MAX_CHANGES
    assert sum(len(line) for change in shown.changes for line in change.lines) <= MAX_CHARS
