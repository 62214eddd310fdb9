"""Revisions of composed documents, and what changed between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soma_providers.port import InputArtefact, JsonValue


@dataclass(frozen=True)
class RevisionRef:
    """The accepted result of a step that composed a document."""

    job_id: str
    step_id: str


@dataclass(frozen=True)
class Revision:
    """What a document was composed from."""

    params: Mapping[str, JsonValue]
    inputs: Mapping[str, InputArtefact | str] = field(repr=False)


class ChangeKind(StrEnum):
    """What happened to a part."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True)
class Change:
    """One part that differs: `part` is what it is ("section"), `lines` its words, marked "+", "-" or " "."""

    part: str
    id: str
    title: str
    kind: ChangeKind
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class DocumentDiff:
    """All differences, in the order of the newer revision, removed parts last; `truncated` when some were left out.

    `markdown` shows the same to people.
    """

    old_version: str
    new_version: str
    changes: tuple[Change, ...]
    truncated: bool
    markdown: str
