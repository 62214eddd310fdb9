"""Composes two revisions and compares them; a function for child processes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from svc_executor.adapters.providers.composer.body import BodyReader
from svc_executor.adapters.providers.composer.compose import compose
from svc_executor.adapters.providers.composer.diff import diff, render_diff
from svc_executor.adapters.providers.composer.model import read
from svc_executor.adapters.providers.composer.problems import ComposeError
from svc_executor.domain.documents import RenderedDiff
from svc_executor.domain.provider import Failure, ProviderError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from svc_executor.adapters.providers.composer.document import Document
    from svc_executor.domain.documents import Change, DocumentDiff
    from svc_executor.domain.provider import InputArtefact, JsonValue

    Inputs = Mapping[str, InputArtefact | str]
    Params = Mapping[str, JsonValue]

MAX_CHANGES = 2_000
MAX_CHARS = 1_000_000


def compare(old: Params, old_inputs: Inputs, new: Params, new_inputs: Inputs) -> RenderedDiff:
    """The differences within bounds; raises ProviderError(INVALID_INPUT) for what can no longer be composed."""
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
    try:
        return compose(read(params), inputs, BodyReader())
    except ComposeError as error:
        raise ProviderError(Failure.INVALID_INPUT, f"the document can no longer be composed: {error}") from None
