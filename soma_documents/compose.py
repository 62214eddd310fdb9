"""Composes a document of parameters and inputs: outline, numbers, cross references, traceability."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from soma_documents.assets import AssetIndex, FigureFiles, InputError
from soma_documents.blocks import Block, InternalLink
from soma_documents.document import Document, Figure
from soma_documents.errors import ComposeError, Problem
from soma_documents.model import DocumentSpec, TextFrom, walk_sections
from soma_documents.numbering import (
    LabelCounter,
    number_sections,
    number_tables,
    place_figures,
)
from soma_documents.outline import Role, build_outline
from soma_documents.references import CrossReferences, anchor
from soma_documents.sections import Draft, SectionWriter
from soma_documents.tables import control_tables
from soma_documents.trace_matrix import TraceMatrix, build_trace_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soma_documents.blocks import Inline
    from soma_documents.body import BodyReader
    from soma_documents.files import Inputs
    from soma_documents.model import FigureSpec, RequirementSpec
    from soma_documents.numbering import NumberedEntry

_NOT_CONTENT = {"outputs", "missing_assets", "markdown_figures", "embed_limit_bytes", "provenance"}


def compose(spec: DocumentSpec, inputs: Inputs, reader: BodyReader) -> Document:
    """Composes a document; raises ComposeError with every missing or invalid input and every broken reference."""
    return _Composition(spec, inputs, reader).run()


@dataclass(frozen=True)
class _ResolvedTexts:
    """The texts outside of section bodies, with references resolved."""

    requirements: dict[str, tuple[tuple[Inline, ...], tuple[Inline, ...]]]
    terms: list[tuple[str, tuple[Inline, ...]]]


class _Composition:
    """The composition of one document; collects problems and gaps."""

    def __init__(self, spec: DocumentSpec, inputs: Inputs, reader: BodyReader) -> None:
        self._spec = spec
        self._reader = reader
        self._asset_index = AssetIndex(inputs)
        self._cross = CrossReferences()
        self._problems: list[Problem] = []
        self._gaps: list[str] = []
        self._figures: dict[str, Figure] = {}
        self._labels = LabelCounter()

    def run(self) -> Document:
        """Returns the composed document."""
        drafts = [self._draft(entry) for entry in self._number_entries()]
        requirements = [requirement for draft in drafts for requirement in draft.requirements]
        figures = [placement.figure for draft in drafts for placement in draft.placements]
        matrix = build_trace_matrix(requirements, self._spec.design_elements, self._spec.tests, figures)
        self._add_targets(drafts, requirements)
        drafts = [replace(draft, blocks=self._resolve_body(draft)) for draft in drafts]
        content = self._resolve_texts(drafts, matrix)
        self._check(drafts, matrix)
        document = self._document(drafts)
        writer = SectionWriter(
            document, self._cross, matrix, figures=self._figures, requirements=requirements, lines=content.requirements,
            terms=content.terms,
        )  # fmt: skip
        sections = number_tables(writer.build(draft) for draft in drafts)
        return replace(document, sections=sections)

    def _number_entries(self) -> list[NumberedEntry]:
        nested = [section for _, section, _ in walk_sections(self._spec.sections)]
        has_assets = any(section.figures for section in nested) or bool(self._spec.provenance)
        traced = any(section.requirements for section in nested) or self._spec.design_elements or self._spec.tests
        return number_sections(build_outline(self._spec, is_traced=bool(traced), has_assets=has_assets))

    def _draft(self, numbered: NumberedEntry) -> Draft:
        """Reads the body of a section and its figures, which are numbered in this order."""
        section = numbered.entry.section
        if section is None:
            return Draft(numbered)
        source = self._source(section.body, f"{numbered.entry.pointer}/body")
        blocks = self._reader.read(source, numbered.entry.title)
        placements = tuple(place_figures(blocks, section.figures, numbered.entry.pointer))
        for placement in placements:
            self._figures[placement.figure.id] = self._figure(placement.figure, f"{placement.pointer}/asset")
        return Draft(numbered, source, blocks, placements, section.requirements)

    def _source(self, body: str | TextFrom, pointer: str) -> str:
        if isinstance(body, str):
            return body
        try:
            return self._asset_index.read_text(body.name)
        except InputError as error:
            self._add_input_problem(pointer, error)
            return ""

    def _figure(self, spec: FigureSpec, pointer: str) -> Figure:
        files, missing = FigureFiles(), ""
        try:
            files = self._asset_index.read_figure(spec.asset)
        except InputError as error:
            self._add_input_problem(pointer, error)
            missing = spec.asset
        noun = "Audio" if files.sound else "Video" if files.video else "Figure"
        caption = spec.caption or files.caption or spec.asset
        figure = Figure(
            id=spec.id, anchor=anchor("fig", spec.id), label=self._labels.next_label(noun), caption=caption,
            alt=spec.alt or caption, raster=files.raster, vector=files.vector, sound=files.sound, video=files.video,
            width=files.width, height=files.height, live_text=files.live_text, details=files.details, missing=missing,
        )  # fmt: skip
        file = figure.screen_file
        return replace(figure, embedded=file is None or len(file.content) <= self._spec.embed_limit_bytes)

    def _add_input_problem(self, pointer: str, error: InputError) -> None:
        """Records an invalid input as a problem; a missing one as a gap when missing assets are marked."""
        if error.absent and self._spec.missing_assets == "mark":
            self._gaps.append(error.message)
        else:
            self._problems.append(Problem(pointer, str(error)))

    def _add_targets(self, drafts: Sequence[Draft], requirements: Sequence[RequirementSpec]) -> None:
        for draft in drafts:
            self._cross.add_target("sec", draft.numbered.entry.id, draft.link.text)
        for figure in self._figures.values():
            self._cross.add_target("fig", figure.id, figure.label)
        for kind, targets in (
            ("req", requirements),
            ("design", self._spec.design_elements),
            ("test", self._spec.tests),
        ):
            for target in targets:
                self._cross.add_target(kind, target.id, target.id)
        for number, reference in enumerate(self._spec.references, start=1):
            if reference.id:
                self._cross.add_target("ref", reference.id, f"[{number}]")

    def _resolve_body(self, draft: Draft) -> tuple[Block, ...]:
        return self._cross.resolve(draft.blocks, draft.link, f"{draft.numbered.entry.pointer}/body")

    def _resolve_texts(self, drafts: Sequence[Draft], matrix: TraceMatrix) -> _ResolvedTexts:
        lines = {}
        for draft in drafts:
            for index, requirement in enumerate(draft.requirements):
                source = self._cross.link_to("req", requirement.id)
                pointer = f"{draft.numbered.entry.pointer}/requirements/{index}"
                text = self._cross.resolve(self._reader.read_line(requirement.text), source, f"{pointer}/text")
                rationale = self._cross.resolve(
                    self._reader.read_line(requirement.rationale), source, f"{pointer}/rationale"
                )
                lines[requirement.id] = (text, rationale)
        for row in matrix.forward:
            for asset in row.assets:
                self._cross.add_backlink(self._cross.link_to("req", row.requirement), "fig", asset)
        glossary_link = next(
            (draft.link for draft in drafts if draft.numbered.entry.role is Role.TERMS), InternalLink("", "")
        )
        terms = [
            (
                term.term,
                self._cross.resolve(
                    self._reader.read_line(term.definition), glossary_link, f"/glossary/{index}/definition"
                ),
            )
            for index, term in enumerate(self._spec.glossary)
        ]
        return _ResolvedTexts(lines, terms)

    def _check(self, drafts: Sequence[Draft], matrix: TraceMatrix) -> None:
        """Raises ComposeError for problems; broken references become gaps when missing assets are marked."""
        for pointer, message in self._cross.broken:
            if self._spec.missing_assets == "mark":
                self._gaps.append(message)
            else:
                self._problems.append(Problem(pointer, message))
        if self._problems:
            raise ComposeError(self._problems)
        self._gaps += [f"{draft.numbered.entry.title} is not stated" for draft in drafts if draft.is_gap]
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
