"""Builds the blocks of each section: its text with figures, its requirements, and what its role adds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from soma_documents import tables
from soma_documents.blocks import (
    Block,
    FigureBlock,
    Gap,
    InternalLink,
    Listing,
    Paragraph,
    Text,
)
from soma_documents.document import Section
from soma_documents.outline import Role
from soma_documents.references import anchor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from soma_documents.blocks import Inline, Row
    from soma_documents.document import Document, Figure
    from soma_documents.model import RequirementSpec
    from soma_documents.numbering import NumberedEntry, Placement
    from soma_documents.references import CrossReferences
    from soma_documents.trace_matrix import TraceMatrix

    Line = tuple[Inline, ...]

_METHODS = (
    "Each requirement is verified by inspection (looking at the product or its documents), analysis (calculation or "
    "simulation), demonstration (operating it) or test (operating it under set conditions and measuring)."
)


@dataclass(frozen=True)
class Draft:
    """A section before its references are resolved: `source` is its text as given, `blocks` that text parsed."""

    numbered: NumberedEntry
    source: str = ""
    blocks: tuple[Block, ...] = ()
    placements: tuple[Placement, ...] = ()
    requirements: tuple[RequirementSpec, ...] = ()

    @property
    def link(self) -> InternalLink:
        """The link to the section."""
        noun = "Appendix" if self.numbered.appendix and self.numbered.level == 1 else "Section"
        return InternalLink(anchor("sec", self.numbered.entry.id), f"{noun} {self.numbered.number}")

    @property
    def is_gap(self) -> bool:
        """Whether the kind of document requires content here and there is none."""
        content = self.blocks or self.placements or self.requirements or self.numbered.entry.children
        return self.numbered.entry.role is Role.EXPECTED and not content


class SectionWriter:
    """Builds sections; `lines` are the resolved texts and rationales of requirements by id."""

    def __init__(
        self,
        document: Document,
        cross: CrossReferences,
        matrix: TraceMatrix,
        *,
        figures: Mapping[str, Figure],
        requirements: Sequence[RequirementSpec],
        lines: Mapping[str, tuple[Line, Line]],
        terms: Sequence[tuple[str, Line]],
    ) -> None:
        self._document = document
        self._cross = cross
        self._matrix = matrix
        self._figures = figures
        self._requirements = requirements
        self._lines = lines
        self._terms = terms
        self._forward = {row.requirement: row for row in matrix.forward}
        self._roles: dict[Role, Callable[[Draft], list[Block]]] = {
            Role.EXPECTED: self._expected,
            Role.TERMS: self._glossary,
            Role.REFERENCES: self._references,
            Role.REQUIREMENTS: self._no_requirements,
            Role.VERIFICATION: self._verification,
            Role.TRACEABILITY: self._traceability,
            Role.REGISTER: self._register,
        }

    def build(self, draft: Draft) -> Section:
        """Returns the section, whose tables have no numbers yet."""
        blocks = self._text(draft)
        if draft.requirements:
            rows = [self._requirement(requirement) for requirement in draft.requirements]
            blocks.append(tables.requirements_table(rows, draft.numbered.entry.title))
        build_role = self._roles.get(draft.numbered.entry.role)
        if build_role is not None:
            blocks += build_role(draft)
        entry = draft.numbered.entry
        return Section(
            id=entry.id,
            number=draft.numbered.number,
            title=entry.title,
            anchor=anchor("sec", entry.id),
            level=draft.numbered.level,
            blocks=tuple(blocks),
            backlinks=self._cross.backlinks("sec", entry.id),
            source=draft.source,
            appendix=draft.numbered.appendix,
        )

    def _text(self, draft: Draft) -> list[Block]:
        """Returns the blocks of the body, each figure after the block that refers to it first."""
        blocks: list[Block] = []
        for index in range(-1, len(draft.blocks)):
            if index >= 0:
                blocks.append(draft.blocks[index])
            for placement in draft.placements:
                if placement.after == index:
                    figure = self._figures[placement.figure.id]
                    blocks.append(FigureBlock(figure, self._cross.backlinks("fig", figure.id)))
        return blocks

    def _requirement(self, requirement: RequirementSpec) -> Row:
        row = self._forward[requirement.id]
        traces = [self._cross.link_to("design", id_) for id_ in row.design]
        traces += [self._cross.link_to("test", id_) for id_ in row.tests]
        traces += [self._cross.link_to("fig", id_) for id_ in row.assets]
        text, rationale = self._lines[requirement.id]
        backlinks = self._cross.backlinks("req", requirement.id)
        return tables.requirement_row(requirement, text, rationale, traces=traces, backlinks=backlinks)

    def _expected(self, draft: Draft) -> list[Block]:
        return [Paragraph((Gap(f"{draft.numbered.entry.title} is not stated"),))] if draft.is_gap else []

    def _glossary(self, draft: Draft) -> list[Block]:
        if self._terms:
            return [tables.terms_table(self._terms)]
        return [] if draft.blocks else [_paragraph_of("No terms are used in a special sense.")]

    def _references(self, draft: Draft) -> list[Block]:
        if self._document.spec.references:
            return [tables.references_table(self._document.spec, self._cross)]
        return [] if draft.blocks else [_paragraph_of("No other documents are referred to.")]

    def _no_requirements(self, _: Draft) -> list[Block]:
        return [] if self._requirements else [Paragraph((Gap("no requirements are stated"),))]

    def _verification(self, draft: Draft) -> list[Block]:
        if not self._requirements:
            return [] if draft.blocks else [Paragraph((Gap("there are no requirements to verify"),))]
        intro = [] if draft.blocks else [_paragraph_of(_METHODS)]
        return [*intro, tables.verification_table(self._requirements, self._matrix, self._cross)]

    def _traceability(self, _: Draft) -> list[Block]:
        rows, spec, cross = self._matrix.forward, self._document.spec, self._cross
        designed, tested = sum(bool(row.design) for row in rows), sum(bool(row.tests) for row in rows)
        spared = sum(not row.tests and not row.by_test for row in rows)
        coverage = f"{designed} lead to a design element and {tested} to a test"
        others = f"; {spared} {'is' if spared == 1 else 'are'} verified without one" if spared else ""
        blocks: list[Block] = [_paragraph_of(f"Of {_count(len(rows), 'requirement')}, {coverage}{others}.")]
        if self._matrix.gaps:
            blocks.append(Paragraph((Text("These links are missing:"),)))
            blocks.append(Listing(tuple((Paragraph((Gap(gap),)),) for gap in self._matrix.gaps)))
        else:
            blocks.append(_paragraph_of("No link is missing."))
        if rows:
            blocks.append(tables.forward_table(rows, cross))
        design = {element.id: element.title for element in spec.design_elements}
        tests = {test.id: test.title for test in spec.tests}
        captions = {figure.id: figure.caption for figure in self._figures.values()}
        groups = (
            (self._matrix.design, design, "design", "design element"),
            (self._matrix.tests, tests, "test", "test"),
            (self._matrix.assets, captions, "fig", "asset"),
        )
        for backward, titles, kind, word in groups:
            if backward:
                blocks.append(tables.backward_table(backward, titles, cross, kind=kind, word=word))
        return blocks

    def _register(self, _: Draft) -> list[Block]:
        figure_links = {
            file.name: self._cross.link_to("fig", figure.id)
            for figure in self._figures.values()
            for file in figure.files
        }
        return [
            _paragraph_of("Everything that was made for this document, by what, and how to recognise it unchanged."),
            tables.register_table(self._document, figure_links),
        ]


def _paragraph_of(text: str) -> Paragraph:
    return Paragraph((Text(text),))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
