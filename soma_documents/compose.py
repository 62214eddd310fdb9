"""Turns parameters and inputs into a document: arranged, numbered, cross referenced, traced."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from soma_documents.assets import AssetIndex, FigureFiles, UnusableError
from soma_documents.blocks import Block, InternalLink
from soma_documents.document import Document, Figure
from soma_documents.errors import ComposeError, Problem
from soma_documents.model import DocumentSpec, TextFrom, walk
from soma_documents.numbering import (
    FigureCounter,
    number_sections,
    number_tables,
    place_figures,
)
from soma_documents.outline import Role, arrange
from soma_documents.references import CrossReferences, anchor
from soma_documents.sections import Draft, SectionWriter
from soma_documents.tables import control_tables
from soma_documents.trace_matrix import TraceMatrix, trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soma_documents.blocks import Inline
    from soma_documents.body import BodyReader
    from soma_documents.files import Inputs
    from soma_documents.model import FigureSpec, RequirementSpec
    from soma_documents.numbering import NumberedEntry

_NOT_CONTENT = {"outputs", "missing_assets", "markdown_figures", "embed_limit_bytes", "provenance"}


def compose(spec: DocumentSpec, inputs: Inputs, reader: BodyReader) -> Document:
    """Compose; raise ComposeError with every missing or unusable input and every broken reference."""
    return _Composition(spec, inputs, reader).run()


@dataclass(frozen=True)
class _Content:
    """What is said outside bodies, with references resolved."""

    requirements: dict[str, tuple[tuple[Inline, ...], tuple[Inline, ...]]]
    terms: list[tuple[str, tuple[Inline, ...]]]


class _Composition:
    """One run; collects what is wrong as it goes."""

    def __init__(self, spec: DocumentSpec, inputs: Inputs, reader: BodyReader) -> None:
        self._spec = spec
        self._reader = reader
        self._asset_index = AssetIndex(inputs)
        self._cross = CrossReferences()
        self._problems: list[Problem] = []
        self._gaps: list[str] = []
        self._figures: dict[str, Figure] = {}
        self._words = FigureCounter()

    def run(self) -> Document:
        """The composed document."""
        drafts = [self._draft(place) for place in self._places()]
        requirements = [requirement for draft in drafts for requirement in draft.requirements]
        figures = [placement.figure for draft in drafts for placement in draft.placements]
        matrix = trace(requirements, self._spec.design_elements, self._spec.tests, figures)
        self._add_targets(drafts, requirements)
        drafts = [replace(draft, blocks=self._resolved(draft)) for draft in drafts]
        content = self._content(drafts, matrix)
        self._judge(drafts, matrix)
        document = self._document(drafts)
        writer = SectionWriter(
            document, self._cross, matrix, figures=self._figures, requirements=requirements, lines=content.requirements,
            terms=content.terms,
        )  # fmt: skip
        sections = number_tables(writer.section(draft) for draft in drafts)
        return replace(document, sections=sections)

    def _places(self) -> list[NumberedEntry]:
        nested = [section for _, section, _ in walk(self._spec.sections)]
        has_assets = any(section.figures for section in nested) or bool(self._spec.provenance)
        traced = any(section.requirements for section in nested) or self._spec.design_elements or self._spec.tests
        return number_sections(arrange(self._spec, is_traced=bool(traced), has_assets=has_assets))

    def _draft(self, place: NumberedEntry) -> Draft:
        """Read a section's body and find its figures, which are numbered in this order."""
        section = place.entry.section
        if section is None:
            return Draft(place)
        source = self._source(section.body, f"{place.entry.pointer}/body")
        blocks = self._reader.read(source, place.entry.title)
        placements = tuple(place_figures(blocks, section.figures, place.entry.pointer))
        for placement in placements:
            self._figures[placement.figure.id] = self._figure(placement.figure, f"{placement.pointer}/asset")
        return Draft(place, source, blocks, placements, section.requirements)

    def _source(self, body: str | TextFrom, pointer: str) -> str:
        if isinstance(body, str):
            return body
        try:
            return self._asset_index.text(body.name)
        except UnusableError as error:
            self._missed(pointer, error)
            return ""

    def _figure(self, spec: FigureSpec, pointer: str) -> Figure:
        shown, missing = FigureFiles(), ""
        try:
            shown = self._asset_index.figure(spec.asset)
        except UnusableError as error:
            self._missed(pointer, error)
            missing = spec.asset
        word = "Audio" if shown.sound else "Video" if shown.video else "Figure"
        caption = spec.caption or shown.caption or spec.asset
        figure = Figure(
            id=spec.id, anchor=anchor("fig", spec.id), label=self._words.next(word), caption=caption,
            alt=spec.alt or caption, raster=shown.raster, vector=shown.vector, sound=shown.sound, video=shown.video,
            width=shown.width, height=shown.height, live_text=shown.live_text, facts=shown.facts, missing=missing,
        )  # fmt: skip
        file = figure.shown
        return replace(figure, embedded=file is None or len(file.content) <= self._spec.embed_limit_bytes)

    def _missed(self, pointer: str, error: UnusableError) -> None:
        """An absent input may be marked in the document; one that is broken never may."""
        if error.absent and self._spec.missing_assets == "mark":
            self._gaps.append(error.message)
        else:
            self._problems.append(Problem(pointer, str(error)))

    def _add_targets(self, drafts: Sequence[Draft], requirements: Sequence[RequirementSpec]) -> None:
        for draft in drafts:
            self._cross.add("sec", draft.place.entry.id, draft.jump.text)
        for figure in self._figures.values():
            self._cross.add("fig", figure.id, figure.label)
        for kind, named in (("req", requirements), ("design", self._spec.design_elements), ("test", self._spec.tests)):
            for item in named:
                self._cross.add(kind, item.id, item.id)
        for number, reference in enumerate(self._spec.references, start=1):
            if reference.id:
                self._cross.add("ref", reference.id, f"[{number}]")

    def _resolved(self, draft: Draft) -> tuple[Block, ...]:
        return self._cross.resolve(draft.blocks, draft.jump, f"{draft.place.entry.pointer}/body")

    def _content(self, drafts: Sequence[Draft], matrix: TraceMatrix) -> _Content:
        lines = {}
        for draft in drafts:
            for index, requirement in enumerate(draft.requirements):
                source = self._cross.jump("req", requirement.id)
                pointer = f"{draft.place.entry.pointer}/requirements/{index}"
                text = self._cross.resolve(self._reader.line(requirement.text), source, f"{pointer}/text")
                why = self._cross.resolve(self._reader.line(requirement.rationale), source, f"{pointer}/rationale")
                lines[requirement.id] = (text, why)
        for row in matrix.forward:
            for asset in row.assets:
                self._cross.point(self._cross.jump("req", row.requirement), "fig", asset)
        holder = next((draft.jump for draft in drafts if draft.place.entry.role is Role.TERMS), InternalLink("", ""))
        terms = [
            (term.term, self._cross.resolve(self._reader.line(term.definition), holder, f"/glossary/{at}/definition"))
            for at, term in enumerate(self._spec.glossary)
        ]
        return _Content(lines, terms)

    def _judge(self, drafts: Sequence[Draft], matrix: TraceMatrix) -> None:
        """Stop at problems; what may be marked becomes a gap."""
        for pointer, message in self._cross.broken:
            if self._spec.missing_assets == "mark":
                self._gaps.append(message)
            else:
                self._problems.append(Problem(pointer, message))
        if self._problems:
            raise ComposeError(self._problems)
        self._gaps += [f"{draft.place.entry.title} is not stated" for draft in drafts if draft.is_gap]
        self._gaps += matrix.gaps

    def _document(self, drafts: Sequence[Draft]) -> Document:
        content = {
            "spec": self._spec.model_dump(mode="json", by_alias=True, exclude=_NOT_CONTENT),
            "texts": [draft.source for draft in drafts],
            "files": [[file.name, file.sha256] for file in self._asset_index.files],
        }
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return Document(
            spec=self._spec,
            sections=(),
            figures=tuple(self._figures.values()),
            files=self._asset_index.files,
            origins=self._spec.provenance,
            control=control_tables(self._spec, digest),
            gaps=tuple(dict.fromkeys(self._gaps)),
            digest=digest,
        )
