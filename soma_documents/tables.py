"""The tables that a document makes of its data: requirements, verification, terms, references, control, assets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soma_documents.assets import size_text
from soma_documents.blocks import (
    Break,
    Code,
    Gap,
    Inline,
    InternalLink,
    Link,
    Row,
    Styled,
    Table,
    Text,
)
from soma_documents.model import KIND_NAMES
from soma_documents.references import anchor, listed

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from soma_documents.document import Document
    from soma_documents.model import DocumentSpec, RequirementSpec
    from soma_documents.references import CrossReferences
    from soma_documents.trace_matrix import BackwardTrace, ForwardTrace, TraceMatrix

Line = tuple[Inline, ...]

NOT_STATED: Line = (Gap("not stated"),)
COMMA = Text(", ")
DASH: Line = (Text("–"),)
_SHORT_DIGEST = 12


def words(*texts: str) -> tuple[Line, ...]:
    """Cells of plain text."""
    return tuple((Text(text),) if text else () for text in texts)


def day(date: dt.date) -> str:
    """A date for people everywhere: 4 May 2026."""
    return f"{date.day} {date:%B %Y}"


def requirement_row(
    requirement: RequirementSpec,
    text: Line,
    rationale: Line,
    *,
    traces: Sequence[InternalLink],
    back: Sequence[InternalLink],
) -> Row:
    """One requirement; what it traces to and where it is referred to stand in the last cell."""
    line: list[Inline] = [Styled("strong", (Text(requirement.title),))]
    line += [Break(), *text] if text else []
    line += [Break(), Styled("quiet", (Text("Rationale: "), *rationale))] if rationale else []
    links: list[Inline] = [*listed(traces, COMMA)]
    if back:
        links += [Break()] * bool(links)
        links.append(Styled("quiet", (Text("Referred to in "), *listed(back, COMMA))))
    cells = (
        (Styled("strong", (Text(requirement.id),)),),
        tuple(line),
        (Text(requirement.priority.capitalize()),) if requirement.priority else NOT_STATED,
        (Text(requirement.verification.capitalize()),) if requirement.verification else NOT_STATED,
        tuple(links) or DASH,
    )
    return Row(cells, anchor("req", requirement.id))


def requirements_table(rows: Sequence[Row], title: str) -> Table:
    """The requirements of a section."""
    header = words("ID", "Requirement", "Priority", "Verification", "Traces to")
    caption = title if title.casefold().endswith("requirements") else f"Requirements: {title}"
    return Table(header, tuple(rows), (0, 7, 0, 0, 3), caption, row_headers=True)


def verification_table(requirements: Sequence[RequirementSpec], matrix: TraceMatrix, cross: CrossReferences) -> Table:
    """How each requirement is shown to be met."""
    rows = tuple(
        Row(
            (
                (cross.jump("req", requirement.id),),
                (Text(requirement.title),),
                (Text(requirement.verification.capitalize()),) if requirement.verification else NOT_STATED,
                listed([cross.jump("test", test) for test in row.tests], COMMA) or _lacking(row, "test"),
            )
        )
        for requirement, row in zip(requirements, matrix.forward, strict=True)
    )
    header = words("Requirement", "Title", "Method", "Tests")
    return Table(header, rows, (0, 5, 0, 3), "Verification of requirements", row_headers=True)


def _lacking(row: ForwardTrace, kind: str) -> Line:
    """What stands in an empty cell: a gap if a link is needed, else a dash."""
    return (Gap(f"no {kind}"),) if kind in row.gaps else DASH


def forward_table(rows: Sequence[ForwardTrace], cross: CrossReferences) -> Table:
    """Requirement → design, test, asset."""

    def cell(kind: str, ids: Sequence[str], otherwise: Line, unknown: Sequence[str] = ()) -> Line:
        found: list[Inline] = [cross.jump(kind, id_) for id_ in ids]
        return listed([*found, *(Gap(f"{name} does not exist") for name in unknown)], COMMA) or otherwise

    table = tuple(
        Row(
            (
                (cross.jump("req", row.requirement),),
                cell("design", row.design, _lacking(row, "design element"), row.unknown),
                cell("test", row.tests, _lacking(row, "test")),
                cell("fig", row.assets, DASH),
            )
        )
        for row in rows
    )
    header = words("Requirement", "Design elements", "Tests", "Assets")
    return Table(header, table, (0, 4, 3, 3), "From requirements to design, tests and assets", row_headers=True)


def backward_table(
    rows: Sequence[BackwardTrace], titles: Mapping[str, str], cross: CrossReferences, *, kind: str, word: str
) -> Table:
    """Design, test or asset → requirement. The rows of designs and tests are what links to them lead to."""
    table = []
    for row in rows:
        found: list[Inline] = [cross.jump("req", id_) for id_ in row.requirements]
        found += [Gap(f"{name} does not exist") for name in row.unknown]
        named: Inline = cross.jump(kind, row.target) if kind == "fig" else Styled("strong", (Text(row.target),))
        lacking: Line = DASH if kind == "fig" else (Gap("no requirement"),)
        target = "" if kind == "fig" else anchor(kind, row.target)
        table.append(Row(((named,), (Text(titles[row.target]),), listed(found, COMMA) or lacking), target))
    header = words(word.capitalize(), "Title", "Requirements")
    return Table(header, tuple(table), (0, 5, 5), f"From {word}s to requirements", row_headers=True)


def terms_table(terms: Sequence[tuple[str, Line]]) -> Table:
    """The glossary, in alphabetical order."""
    ordered = sorted(terms, key=lambda pair: (pair[0].casefold(), pair[0]))
    rows = tuple(Row(((Styled("strong", (Text(term),)),), definition)) for term, definition in ordered)
    return Table(words("Term", "Meaning"), rows, (0, 1), row_headers=True)


def references_table(spec: DocumentSpec, cross: CrossReferences) -> Table:
    """The documents referred to."""
    rows = []
    for number, reference in enumerate(spec.references, start=1):
        title: Line = (Text(reference.title),)
        line: Line = (Link(reference.url, title),) if reference.url else title
        back = cross.back("ref", reference.id) if reference.id else ()
        place = anchor("ref", reference.id) if reference.id else ""
        rows.append(Row(((Text(f"[{number}]"),), line, listed(back, COMMA) or DASH), place))
    return Table(words("No.", "Document", "Referred to in"), tuple(rows), (0, 3, 1), row_headers=True)


def control_tables(spec: DocumentSpec, digest: str) -> tuple[Table, ...]:
    """Document control: what this is, and what changed when."""
    facts = [
        ("Title", spec.title),
        ("Kind", KIND_NAMES[spec.kind]),
        ("Version", spec.version),
        ("Status", spec.status),
        ("Date", day(spec.date) if spec.date else ""),
        ("Authors", ", ".join(spec.authors)),
    ]
    rows = [Row(((Text(name),), (Text(value),))) for name, value in facts if value]
    rows.append(Row(((Text("Content digest"),), (Code(f"sha256:{digest}"),))))
    control = Table(words("Item", "Value"), tuple(rows), (0, 1), row_headers=True)
    if not spec.history:
        return (control,)
    history = tuple(
        Row(words(entry.version, day(entry.date), entry.author, entry.change)) for entry in reversed(spec.history)
    )
    return control, Table(words("Version", "Date", "Author", "Change"), history, (0, 0, 0, 1), row_headers=True)


def register_table(document: Document, shown: Mapping[str, InternalLink]) -> Table:
    """Every input with its maker and its checksum; texts that came without a file come last."""
    rows = []
    for file in document.files:
        origin = document.origin_of(file)
        seen = shown.get(file.name)
        rows.append(
            Row(
                (
                    (Code(file.path.removeprefix("assets/")),),
                    (seen,) if seen else (Text("Text"),),
                    (Text((origin.capability_id if origin else "") or "–"),),
                    (Text((origin.license if origin else "") or "not stated"),),
                    (Text(size_text(len(file.content))),),
                    (Code(file.sha256[:_SHORT_DIGEST]),),
                )
            )
        )
    names = {name for file in document.files for name in (file.name, file.asset_id, file.name.rpartition(".")[0])}
    for name, origin in document.origins.items():
        if name not in names:
            made, terms = origin.capability_id or "–", origin.license or "not stated"
            digest: Line = (Code(origin.checksum_sha256[:_SHORT_DIGEST]),) if origin.checksum_sha256 else DASH
            rows.append(Row(((Code(name),), (Text("Text"),), (Text(made),), (Text(terms),), DASH, digest)))
    header = words("Asset", "Shown as", "Made by", "Licence", "Size", "SHA-256")
    return Table(header, tuple(rows), (4, 2, 4, 2, 0, 0), "Assets of this document", row_headers=True)
