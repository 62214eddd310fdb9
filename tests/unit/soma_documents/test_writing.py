"""What the library gives to its callers: documents in the formats that they ask for, errors and data to pickle."""

from __future__ import annotations

import io
import pickle
import zipfile

import pytest

from soma_documents import ComposeError, Problem, compare, verify_bundle, write
from tests.unit.soma_documents.samples import inputs, small


def test_outputs_come_in_the_order_asked_for() -> None:
    written = write(small() | {"outputs": ["bundle", "pdf", "html", "markdown"]}, inputs())  # type: ignore[arg-type]
    assert [(file.output, file.filename, file.media_type) for file in written.files] == [
        ("bundle", "door-requirements.zip", "application/zip"),
        ("pdf", "door-requirements.pdf", "application/pdf"),
        ("html", "door-requirements.html", "text/html"),
        ("markdown", "door-requirements.md", "text/markdown"),
    ]


def test_the_bundle_holds_the_same_documents_and_verifies() -> None:
    *documents, bundle = write(small(), inputs()).files  # type: ignore[arg-type]
    assert verify_bundle(bundle.content) == []
    with zipfile.ZipFile(io.BytesIO(bundle.content)) as archive:
        endings = {"markdown": "md", "html": "html", "pdf": "pdf"}
        packed = [archive.read(f"document.{endings[file.output]}") for file in documents]
    assert packed == [file.content for file in documents]


def test_equal_input_gives_equal_bytes() -> None:
    assert write(small(), inputs()) == write(small(), inputs())  # type: ignore[arg-type]


def test_markdown_holds_its_pictures_where_asked_and_never_in_the_bundle() -> None:
    params = small() | {"outputs": ["markdown", "bundle"], "markdown_figures": "embedded"}
    document, packed = write(params, inputs()).files  # type: ignore[arg-type]
    assert b"](data:image/png;base64," in document.content
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert b"](data:" not in archive.read("document.md")
    assert verify_bundle(packed.content) == []


def test_the_summary_says_what_is_in_the_document() -> None:
    summary = write(small() | {"outputs": ["markdown"]}, inputs()).summary  # type: ignore[arg-type]
    assert (summary.sections, summary.figures) == (14, 2)
    assert "REQ-2 has no test" in summary.gaps


def test_two_revisions_are_compared_as_data_and_as_markdown() -> None:
    rendered = compare(small(), inputs(), small() | {"version": "1.1"}, inputs())  # type: ignore[arg-type]
    assert [(change.part, change.id) for change in rendered.difference.changes] == [("document", "version")]
    assert rendered.markdown.startswith("# Changes from version 1.0 to 1.1")


def test_a_revision_that_cannot_be_composed_is_an_error() -> None:
    with pytest.raises(ComposeError, match="'plan' is missing"):
        compare(small(), inputs(), small(), {})  # type: ignore[arg-type]


def test_what_is_wrong_survives_the_way_out_of_a_child_process() -> None:
    error = ComposeError([Problem("/title", "is missing")] * 21)
    sent = pickle.loads(pickle.dumps(error))
    assert (sent.problems, str(sent)) == (error.problems, str(error))
    assert str(error).endswith("; /title: is missing; and 1 more")
