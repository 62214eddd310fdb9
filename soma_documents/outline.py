"""Arranges sections in the standard outline of the document kind; ISO/IEC/IEEE 29148:2018, 9.6, for specifications."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soma_documents.model import DocumentSpec, SectionSpec


class Role(StrEnum):
    """What is generated in a section; GIVEN: nothing, EXPECTED: a gap if it has no content."""

    GIVEN = "given"
    EXPECTED = "expected"
    TERMS = "terms"
    REFERENCES = "references"
    REQUIREMENTS = "requirements"
    VERIFICATION = "verification"
    TRACEABILITY = "traceability"
    REGISTER = "register"


@dataclass(frozen=True)
class Entry:
    """An entry of the outline; `pointer` is the JSON pointer of its section, empty without one."""

    id: str
    title: str
    role: Role = Role.GIVEN
    children: tuple[Entry, ...] = ()
    section: SectionSpec | None = None
    pointer: str = ""
    optional: bool = False
    appendix: bool = False


def _optional(id_: str, title: str) -> Entry:
    return Entry(id_, title, optional=True)


_TERMS = Entry("definitions", "Definitions", Role.TERMS)
_REFERENCES = Entry("references", "References", Role.REFERENCES)
_TRACEABILITY = Entry("traceability", "Traceability", Role.TRACEABILITY, appendix=True)
_REGISTER = Entry("asset_register", "Asset register", Role.REGISTER, appendix=True)
_SPECIFICATION = (
    Entry(
        "introduction",
        "Introduction",
        children=(
            Entry("purpose", "Purpose", Role.EXPECTED),
            Entry("scope", "Scope", Role.EXPECTED),
            Entry("product_perspective", "Product perspective", Role.EXPECTED),
            Entry("product_functions", "Product functions", Role.EXPECTED),
            Entry("user_characteristics", "User characteristics", Role.EXPECTED),
            Entry("limitations", "Limitations", Role.EXPECTED),
            _optional("assumptions", "Assumptions and dependencies"),
            _optional("apportioning", "Apportioning of requirements"),
            _TERMS,
        ),
    ),
    _REFERENCES,
    Entry(
        "requirements",
        "Specific requirements",
        Role.REQUIREMENTS,
        children=(
            _optional("interfaces", "External interfaces"),
            _optional("functional", "Functions"),
            _optional("usability", "Usability requirements"),
            _optional("performance", "Performance requirements"),
            _optional("data", "Logical database requirements"),
            _optional("constraints", "Design constraints"),
            _optional("compliance", "Standards compliance"),
            _optional("attributes", "Software system attributes"),
        ),
    ),
    Entry("verification", "Verification", Role.VERIFICATION),
)
_ALIASES = {
    "functions": "product_functions",
    "perspective": "product_perspective",
    "users": "user_characteristics",
    "assumptions_and_dependencies": "assumptions",
    "glossary": "definitions",
    "specific_requirements": "requirements",
    "external_interfaces": "interfaces",
    "functional_requirements": "functional",
    "usability_requirements": "usability",
    "performance_requirements": "performance",
    "logical_database": "data",
    "data_requirements": "data",
    "design_constraints": "constraints",
    "standards_compliance": "compliance",
    "quality_attributes": "attributes",
    "security": "attributes",
}


def build_outline(spec: DocumentSpec, *, is_traced: bool, has_assets: bool) -> tuple[Entry, ...]:
    """Returns the outline of a document with its sections, appendices last."""
    appendices = (_TRACEABILITY,) * is_traced + (_REGISTER,) * has_assets
    if spec.kind == "srs":
        return _specification(spec, appendices)
    given = [_section_entry(section, f"/sections/{index}") for index, section in enumerate(spec.sections)]
    taken = {_standard_id(section.id) for section in spec.sections}
    terms = (replace(_TERMS, title="Terms"),) * bool(spec.glossary)
    closing = (*terms, *((_REFERENCES,) * bool(spec.references)), *appendices)
    made = {entry.id: entry for entry in closing}
    placed = [
        _with_section(made[_standard_id(entry.id)], entry) if _standard_id(entry.id) in made else entry
        for entry in given
    ]
    return (*placed, *(entry for entry in closing if entry.id not in taken))


def _specification(spec: DocumentSpec, appendices: tuple[Entry, ...]) -> tuple[Entry, ...]:
    outline = (*_SPECIFICATION, *appendices)
    standard_ids = {entry.id for top in outline for entry in (top, *top.children)}
    given: dict[str, Entry] = {}
    additional: list[Entry] = []
    for entry in _flatten(spec, standard_ids):
        standard_id = _standard_id(entry.id)
        if standard_id in standard_ids and standard_id not in given:
            given[standard_id] = entry
        else:
            additional.append(entry)
    required = [entry for entry in additional if _requires(entry.section)]
    added = tuple(replace(entry, appendix=True) for entry in additional if entry not in required)
    placed = tuple(_fill_outline(top, given) for top in outline)
    main = tuple(
        replace(top, children=(*top.children, *required)) if top.role is Role.REQUIREMENTS else top
        for top in placed
        if not top.appendix
    )
    return (*main, *added, *(top for top in placed if top.appendix))


def _flatten(spec: DocumentSpec, standard_ids: set[str]) -> Iterator[Entry]:
    """Yields the given sections; subsections that have a standard entry of their own are moved out of their chapter."""
    chapters = {entry.id for entry in _SPECIFICATION if entry.children}
    for index, section in enumerate(spec.sections):
        entry = _section_entry(section, f"/sections/{index}")
        if _standard_id(section.id) not in chapters:
            yield entry
            continue
        inner = [child for child in entry.children if _standard_id(child.id) in standard_ids]
        yield replace(entry, children=tuple(child for child in entry.children if child not in inner))
        yield from inner


def _fill_outline(entry: Entry, given: dict[str, Entry]) -> Entry:
    children = [_fill_outline(child, given) for child in entry.children]
    present = tuple(child for child in children if not child.optional or child.section is not None)
    filled = replace(entry, children=present)
    return _with_section(filled, given[entry.id]) if entry.id in given else filled


def _with_section(entry: Entry, given: Entry) -> Entry:
    title = given.section.title if given.section and given.section.title else entry.title
    return replace(
        entry,
        title=title,
        id=given.id,
        section=given.section,
        pointer=given.pointer,
        children=entry.children + given.children,
    )


def _section_entry(section: SectionSpec, pointer: str) -> Entry:
    children = tuple(
        _section_entry(child, f"{pointer}/sections/{index}") for index, child in enumerate(section.sections)
    )
    title = section.title or section.id.replace("_", " ").replace("-", " ").strip().capitalize()
    return Entry(section.id, title, children=children, section=section, pointer=pointer)


def _standard_id(id_: str) -> str:
    name = id_.lower().replace("-", "_").replace(".", "_")
    return _ALIASES.get(name, name)


def _requires(section: SectionSpec | None) -> bool:
    return section is not None and (bool(section.requirements) or any(map(_requires, section.sections)))
