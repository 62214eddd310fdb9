"""Compares two revisions of a document: texts by sentence, files by checksum.

Numbers are ignored: a section that only has another number is not a change.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from soma_documents.markdown import escape
from soma_documents.model import walk_sections

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soma_documents.document import Document

_SENTENCE = re.compile(r"(?<=[.!?;:])\s+|\n+")
_FIELDS = ("title", "subtitle", "version", "status", "date", "authors")


class ChangeKind(StrEnum):
    """The kind of a change."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True)
class Change:
    """One difference: `part` is what changed ("section"), `lines` are its text, prefixed with "+", "-" or " "."""

    part: str
    id: str
    title: str
    kind: ChangeKind
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class DocumentDiff:
    """The differences in the order of the newer revision, removed parts last; `truncated` when some are omitted."""

    old_version: str
    new_version: str
    changes: tuple[Change, ...]
    truncated: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether both revisions are equal."""
        return not self.changes


@dataclass(frozen=True)
class RenderedDiff:
    """The differences, also as Markdown."""

    difference: DocumentDiff
    markdown: str


def diff(old: Document, new: Document) -> DocumentDiff:
    """Compares two revisions part by part; parts are matched by id."""
    changes: list[Change] = []
    before, after = _parts_by_kind(old), _parts_by_kind(new)
    for group, parts in after.items():
        old_parts = before[group]
        for id_, (title, text) in parts.items():
            if id_ not in old_parts:
                changes.append(Change(group, id_, title, ChangeKind.ADDED, _diff_lines("", text)))
            elif old_parts[id_] != (title, text):
                lines = _diff_lines(f"{old_parts[id_][0]}\n{old_parts[id_][1]}", f"{title}\n{text}")
                changes.append(Change(group, id_, title, ChangeKind.CHANGED, lines))
        for id_, (title, text) in old_parts.items():
            if id_ not in parts:
                changes.append(Change(group, id_, title, ChangeKind.REMOVED, _diff_lines(text, "")))
    return DocumentDiff(old.spec.version, new.spec.version, tuple(changes))


def render_diff(difference: DocumentDiff) -> str:
    """Returns the differences as Markdown."""
    versions = [version or "unnamed" for version in (difference.old_version, difference.new_version)]
    parts = [f"# Changes from version {escape(versions[0])} to {escape(versions[1])}"]
    if difference.is_empty:
        return parts[0] + "\n\nThe two say and show the same.\n"
    parts.append(_summary(difference.changes))
    if difference.truncated:
        parts.append("More differs than is shown here.")
    for group in dict.fromkeys(change.part for change in difference.changes):
        parts.append(f"## {group.capitalize()}s" if group != "document" else "## Document")
        for change in difference.changes:
            if change.part == group:
                parts += _render_change(change)
    return "\n\n".join(parts) + "\n"


def _summary(changes: Sequence[Change]) -> str:
    lines = []
    for group in dict.fromkeys(change.part for change in changes):
        counts = [
            f"{count} {kind.value}"
            for kind in ChangeKind
            if (count := sum(change.part == group and change.kind is kind for change in changes))
        ]
        lines.append(f"- {group}: {', '.join(counts)}")
    return "\n".join(lines)


def _render_change(change: Change) -> list[str]:
    name = escape(change.title) if change.part == "document" else f"{escape(change.id)}: {escape(change.title)}"
    parts = [f"### {name} ({change.kind.value})"]
    if change.lines:
        longest = max((len(run) for line in change.lines for run in re.findall(r"`+", line)), default=0)
        fence = "`" * max(3, longest + 1)
        parts.append("\n".join([f"{fence}diff", *change.lines, fence]))
    return parts


def _parts_by_kind(document: Document) -> dict[str, dict[str, tuple[str, str]]]:
    """Returns title and text of every part by kind and id; files are represented by their checksums."""
    spec = document.spec
    requirements = [item for _, section, _ in walk_sections(spec.sections) for item in section.requirements]
    return {
        "document": {name: (name.capitalize(), _value(getattr(spec, name))) for name in _FIELDS},
        "section": {section.id: (section.title, section.source.strip()) for section in document.sections},
        "requirement": {
            item.id: (
                item.title,
                _lines(
                    {
                        "Text": item.text,
                        "Priority": item.priority,
                        "Verification": item.verification,
                        "Rationale": item.rationale,
                        "Traces to": ", ".join(sorted(item.traces_to)),
                    }
                ),
            )
            for item in requirements
        },
        "figure": {
            figure.id: (
                figure.caption,
                _lines(
                    {"Alternative text": figure.alt, "Missing": figure.missing}
                    | {f"File {file.media_type}": f"sha256 {file.sha256}" for file in figure.files}
                ),
            )
            for figure in document.figures
        },
        "reference": {item.id or item.title: (item.title, item.url or "") for item in spec.references},
        "term": {item.term: (item.term, item.definition) for item in spec.glossary},
        "design element": {item.id: (item.title, "") for item in spec.design_elements},
        "test": {item.id: (item.title, _lines({"Verifies": ", ".join(sorted(item.verifies))})) for item in spec.tests},
    }


def _value(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value or "")


def _lines(fields: Mapping[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in fields.items() if value)


def _diff_lines(old: str, new: str) -> tuple[str, ...]:
    """Returns a unified diff by sentence, with one sentence of context."""
    before, after = ([line for line in _SENTENCE.split(text) if line.strip()] for text in (old, new))
    lines = difflib.unified_diff(before, after, lineterm="", n=1)
    return tuple(f"{line[0]} {line[1:]}" for line in list(lines)[2:] if not line.startswith("@@"))
