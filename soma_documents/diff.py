"""What changed between two revisions of a document: words by the line, pictures and recordings by their checksums.

Numbers are left out of account: a section that only moved down by one is not a change.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from soma_documents.markdown import escape
from soma_documents.model import walk

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soma_documents.document import Document

_SENTENCE = re.compile(r"(?<=[.!?;:])\s+|\n+")
_FIELDS = ("title", "subtitle", "version", "status", "date", "authors")


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
    """All differences, in the order of the newer revision, removed parts last; `truncated` when some were left out."""

    old_version: str
    new_version: str
    changes: tuple[Change, ...]
    truncated: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether the two say and show the same."""
        return not self.changes


@dataclass(frozen=True)
class RenderedDiff:
    """Differences, and the same as Markdown."""

    difference: DocumentDiff
    markdown: str


def diff(old: Document, new: Document) -> DocumentDiff:
    """Compare two revisions part by part; parts are the same when their ids are."""
    changes: list[Change] = []
    before, after = _parts(old), _parts(new)
    for group, parts in after.items():
        earlier = before[group]
        for id_, (title, text) in parts.items():
            if id_ not in earlier:
                changes.append(Change(group, id_, title, ChangeKind.ADDED, _marked("", text)))
            elif earlier[id_] != (title, text):
                lines = _marked(f"{earlier[id_][0]}\n{earlier[id_][1]}", f"{title}\n{text}")
                changes.append(Change(group, id_, title, ChangeKind.CHANGED, lines))
        for id_, (title, text) in earlier.items():
            if id_ not in parts:
                changes.append(Change(group, id_, title, ChangeKind.REMOVED, _marked(text, "")))
    return DocumentDiff(old.spec.version, new.spec.version, tuple(changes))


def render_diff(difference: DocumentDiff) -> str:
    """The differences as Markdown."""
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
                parts += _rendered(change)
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


def _rendered(change: Change) -> list[str]:
    name = escape(change.title) if change.part == "document" else f"{escape(change.id)}: {escape(change.title)}"
    parts = [f"### {name} ({change.kind.value})"]
    if change.lines:
        longest = max((len(run) for line in change.lines for run in re.findall(r"`+", line)), default=0)
        fence = "`" * max(3, longest + 1)
        parts.append("\n".join([f"{fence}diff", *change.lines, fence]))
    return parts


def _parts(document: Document) -> dict[str, dict[str, tuple[str, str]]]:
    """Every part by kind and id, as its title and its words; files stand for themselves by checksum."""
    spec = document.spec
    requirements = [each for _, section, _ in walk(spec.sections) for each in section.requirements]
    return {
        "document": {name: (name.capitalize(), _value(getattr(spec, name))) for name in _FIELDS},
        "section": {section.id: (section.title, section.source.strip()) for section in document.sections},
        "requirement": {
            each.id: (
                each.title,
                _lines(
                    {
                        "Text": each.text,
                        "Priority": each.priority,
                        "Verification": each.verification,
                        "Rationale": each.rationale,
                        "Traces to": ", ".join(sorted(each.traces_to)),
                    }
                ),
            )
            for each in requirements
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
        "reference": {each.id or each.title: (each.title, each.url or "") for each in spec.references},
        "term": {each.term: (each.term, each.definition) for each in spec.glossary},
        "design element": {each.id: (each.title, "") for each in spec.design_elements},
        "test": {each.id: (each.title, _lines({"Verifies": ", ".join(sorted(each.verifies))})) for each in spec.tests},
    }


def _value(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value or "")


def _lines(fields: Mapping[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in fields.items() if value)


def _marked(old: str, new: str) -> tuple[str, ...]:
    """Sentences with their marks; of what stayed, one sentence around each change."""
    before, after = ([line for line in _SENTENCE.split(text) if line.strip()] for text in (old, new))
    marked = difflib.unified_diff(before, after, lineterm="", n=1)
    return tuple(f"{line[0]} {line[1:]}" for line in list(marked)[2:] if not line.startswith("@@"))
