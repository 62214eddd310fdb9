"""Composes and compares two revisions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from soma_documents.body import BodyReader
from soma_documents.compose import compose
from soma_documents.diff import RenderedDiff, diff, render_diff
from soma_documents.model import read_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soma_documents.diff import Change, DocumentDiff
    from soma_documents.document import Document
    from soma_documents.files import Inputs
    from soma_documents.model import JsonValue

    Params = Mapping[str, JsonValue]

MAX_CHANGES = 2_000
MAX_CHARS = 1_000_000


def compare(old: Params, old_inputs: Inputs, new: Params, new_inputs: Inputs) -> RenderedDiff:
    """Returns what changed between two revisions, each given by its parameters and inputs as for `write`.

    Returns at most 2,000 changes with 1,000,000 characters, and sets `truncated` when there are more. Raises
    ComposeError for a revision that cannot be composed.
    """
    difference = truncate(diff(_compose(old, old_inputs), _compose(new, new_inputs)))
    return RenderedDiff(difference, render_diff(difference))


def truncate(difference: DocumentDiff) -> DocumentDiff:
    """Omits changes, and lines of changes, beyond `MAX_CHANGES` and `MAX_CHARS`."""
    remaining_chars = MAX_CHARS
    changes: list[Change] = []
    for change in difference.changes[:MAX_CHANGES]:
        remaining_chars -= len(change.id) + len(change.title)
        lines: list[str] = []
        for line in change.lines:
            remaining_chars -= len(line)
            if remaining_chars < 0:
                break
            lines.append(line)
        changes.append(replace(change, lines=tuple(lines)))
        if remaining_chars < 0:
            break
    return replace(difference, changes=tuple(changes), truncated=tuple(changes) != difference.changes)


def _compose(params: Params, inputs: Inputs) -> Document:
    return compose(read_spec(params), inputs, BodyReader())
