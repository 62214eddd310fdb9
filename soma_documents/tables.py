"""The generated tables: requirements, verification, terms, references, document control, assets."""

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
from soma_documents.references import anchor, join_inlines

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


def text_cells(*texts: str) -> tuple[Line, ...]:
    """Returns cells of plain text."""
    return tuple((Text(text),) if text else () for text in texts)


def format_date(date: dt.date) -> str:
    """Returns a date like `4 May 2026`."""
    return f"{date.day} {date:%B %Y}"


def requirement_row(
    requirement: RequirementSpec,
    text: Line,
    rationale: Line,
    *,
    traces: Sequence[InternalLink],
    backlinks: Sequence[InternalLink],
) -> Row:
    """Returns the row of a requirement; the last cell has its traces and backlinks."""
    line: list[Inline] = [Styled("strong", (Text(requirement.title),))]
    line += [Break(), *text] if text else []
    line += [Break(), Styled("quiet", (Text("Rationale: "), *rationale))] if rationale else []
    links: list[Inline] = [*join_inlines(traces, COMMA)]
    if backlinks:
        links += [Break()] * bool(links)
        links.append(Styled("quiet", (Text("Referred to in "), *join_inlines(backlinks, COMMA))))
    cells = (
        (Styled("strong", (Text(requirement.id),)),),
        tuple(line),
        (Text(requirement.priority.capitalize()),) if requirement.priority else NOT_STATED,
        (Text(requirement.verification.capitalize()),) if requirement.verification else NOT_STATED,
        tuple(links) or DASH,
    )
    return Row(cells, anchor("req", requirement.id))


def requirements_table(rows: Sequence[Row], title: str) -> Table:
    """Returns the table of the requirements of a section."""
    header = text_cells("ID", "Requirement", "Priority", "Verification", "Traces to")
    caption = title if title.casefold().endswith("requirements") else f"Requirements: {title}"
    return Table(header, tuple(rows), (0, 7, 0, 0, 3), caption, row_headers=True)


def verification_table(requirements: Sequence[RequirementSpec], matrix: TraceMatrix, cross: CrossReferences) -> Table:
    """Returns the table of the verification methods and tests of requirements."""
    rows = tuple(
        Row(
            (
                (cross.link_to("req", requirement.id),),
                (Text(requirement.title),),
                (Text(requirement.verification.capitalize()),) if requirement.verification else NOT_STATED,
                join_inlines([cross.link_to("test", test) for test in row.tests], COMMA) or _missing_cell(row, "test"),
            )
        )
        for requirement, row in zip(requirements, matrix.forward, strict=True)
    )
    header = text_cells("Requirement", "Title", "Method", "Tests")
    return Table(header, rows, (0, 5, 0, 3), "Verification of requirements", row_headers=True)


def _missing_cell(row: ForwardTrace, kind: str) -> Line:
    """Returns an empty cell: a gap if a link is required, else a dash."""
    return (Gap(f"no {kind}"),) if kind in row.gaps else DASH


def forward_table(rows: Sequence[ForwardTrace], cross: CrossReferences) -> Table:
    """Returns the table from requirements to design, tests and assets."""

    def cell(kind: str, ids: Sequence[str], otherwise: Line, unknown: Sequence[str] = ()) -> Line:
        found: list[Inline] = [cross.link_to(kind, id_) for id_ in ids]
        return join_inlines([*found, *(Gap(f"{name} does not exist") for name in unknown)], COMMA) or otherwise

    table = tuple(
        Row(
            (
                (cross.link_to("req", row.requirement),),
                cell("design", row.design, _missing_cell(row, "design element"), row.unknown),
                cell("test", row.tests, _missing_cell(row, "test")),
                cell("fig", row.assets, DASH),
            )
        )
        for row in rows
    )
    header = text_cells("Requirement", "Design elements", "Tests", "Assets")
    return Table(header, table, (0, 4, 3, 3), "From requirements to design, tests and assets", row_headers=True)


def backward_table(
    rows: Sequence[BackwardTrace], titles: Mapping[str, str], cross: CrossReferences, *, kind: str, word: str
) -> Table:
    """Returns the table from design, tests or assets to requirements; its rows are the targets of links to them."""
    table = []
    for row in rows:
        found: list[Inline] = [cross.link_to("req", id_) for id_ in row.requirements]
        found += [Gap(f"{name} does not exist") for name in row.unknown]
        target_cell: Inline = (
            cross.link_to(kind, row.target) if kind == "fig" else Styled("strong", (Text(row.target),))
        )
        missing: Line = DASH if kind == "fig" else (Gap("no requirement"),)
        target = "" if kind == "fig" else anchor(kind, row.target)
        table.append(Row(((target_cell,), (Text(titles[row.target]),), join_inlines(found, COMMA) or missing), target))
    header = text_cells(word.capitalize(), "Title", "Requirements")
    return Table(header, tuple(table), (0, 5, 5), f"From {word}s to requirements", row_headers=True)


def terms_table(terms: Sequence[tuple[str, Line]]) -> Table:
    """Returns the glossary in alphabetical order."""
    ordered = sorted(terms, key=lambda pair: (pair[0].casefold(), pair[0]))
    rows = tuple(Row(((Styled("strong", (Text(term),)),), definition)) for term, definition in ordered)
    return Table(text_cells("Term", "Meaning"), rows, (0, 1), row_headers=True)


def references_table(spec: DocumentSpec, cross: CrossReferences) -> Table:
    """Returns the table of references."""
    rows = []
    for number, reference in enumerate(spec.references, start=1):
        title: Line = (Text(reference.title),)
        line: Line = (Link(reference.url, title),) if reference.url else title
        backlinks = cross.backlinks("ref", reference.id) if reference.id else ()
        target = anchor("ref", reference.id) if reference.id else ""
        rows.append(Row(((Text(f"[{number}]"),), line, join_inlines(backlinks, COMMA) or DASH), target))
    return Table(text_cells("No.", "Document", "Referred to in"), tuple(rows), (0, 3, 1), row_headers=True)


def control_tables(spec: DocumentSpec, digest: str) -> tuple[Table, ...]:
    """Returns the tables of document control: properties and history."""
    items = [
        ("Title", spec.title),
        ("Kind", KIND_NAMES[spec.kind]),
        ("Version", spec.version),
        ("Status", spec.status),
        ("Date", format_date(spec.date) if spec.date else ""),
        ("Authors", ", ".join(spec.authors)),
    ]
    rows = [Row(((Text(name),), (Text(value),))) for name, value in items if value]
    rows.append(Row(((Text("Content digest"),), (Code(f"sha256:{digest}"),))))
    control = Table(text_cells("Item", "Value"), tuple(rows), (0, 1), row_headers=True)
    if not spec.history:
        return (control,)
    history = tuple(
        Row(text_cells(entry.version, format_date(entry.date), entry.author, entry.change))
        for entry in reversed(spec.history)
    )
    return control, Table(text_cells("Version", "Date", "Author", "Change"), history, (0, 0, 0, 1), row_headers=True)


def register_table(document: Document, figure_links: Mapping[str, InternalLink]) -> Table:
    """Returns the table of the inputs with origin and checksum; texts without a file come last."""
    rows = []
    for file in document.files:
        origin = document.find_origin(file)
        figure_link = figure_links.get(file.name)
        rows.append(
            Row(
                (
                    (Code(file.path.removeprefix("assets/")),),
                    (figure_link,) if figure_link else (Text("Text"),),
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
            maker, license_ = origin.capability_id or "–", origin.license or "not stated"
            digest: Line = (Code(origin.checksum_sha256[:_SHORT_DIGEST]),) if origin.checksum_sha256 else DASH
            rows.append(Row(((Code(name),), (Text("Text"),), (Text(maker),), (Text(license_),), DASH, digest)))
    header = text_cells("Asset", "Shown as", "Made by", "Licence", "Size", "SHA-256")
    return Table(header, tuple(rows), (4, 2, 4, 2, 0, 0), "Assets of this document", row_headers=True)
