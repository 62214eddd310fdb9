"""Composes two revisions and compares them."""

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

    At most 2,000 changes with 1,000,000 characters are told; `truncated` says that there are more. Raises ComposeError
    for a revision that cannot be composed.
    """
    difference = bounded(diff(_composed(old, old_inputs), _composed(new, new_inputs)))
    return RenderedDiff(difference, render_diff(difference))


def bounded(difference: DocumentDiff) -> DocumentDiff:
    """Leave out changes, and lines of changes, beyond the bounds."""
    left = MAX_CHARS
    changes_kept: list[Change] = []
    for change in difference.changes[:MAX_CHANGES]:
        left -= len(change.id) + len(change.title)
        lines: list[str] = []
        for line in change.lines:
            left -= len(line)
            if left < 0:
                break
            lines.append(line)
        changes_kept.append(replace(change, lines=tuple(lines)))
        if left < 0:
            break
    return replace(difference, changes=tuple(changes_kept), truncated=tuple(changes_kept) != difference.changes)


def _composed(params: Params, inputs: Inputs) -> Document:
    return compose(read_spec(params), inputs, BodyReader())
