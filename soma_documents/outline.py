"""Puts sections where the kind of document wants them; ISO/IEC/IEEE 29148:2018, clause 9.6, for specifications."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soma_documents.model import DocumentSpec, SectionSpec


class Role(StrEnum):
    """What a section holds besides what was given for it."""

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
    """A place in the outline; `pointer` is where its section was given, empty for a place made by the outline."""

    id: str
    title: str
    role: Role = Role.GIVEN
    parts: tuple[Entry, ...] = ()
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
        parts=(
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
        parts=(
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


def arrange(spec: DocumentSpec, *, is_traced: bool, has_assets: bool) -> tuple[Entry, ...]:
    """The outline of a document with its sections in place, appendices last."""
    appendices = (_TRACEABILITY,) * is_traced + (_REGISTER,) * has_assets
    if spec.kind == "srs":
        return _specification(spec, appendices)
    given = [_given(section, f"/sections/{index}") for index, section in enumerate(spec.sections)]
    taken = {_place(section.id) for section in spec.sections}
    terms = (replace(_TERMS, title="Terms"),) * bool(spec.glossary)
    closing = (*terms, *((_REFERENCES,) * bool(spec.references)), *appendices)
    made = {entry.id: entry for entry in closing}
    placed = [_filled(made[_place(entry.id)], entry) if _place(entry.id) in made else entry for entry in given]
    return (*placed, *(entry for entry in closing if entry.id not in taken))


def _specification(spec: DocumentSpec, appendices: tuple[Entry, ...]) -> tuple[Entry, ...]:
    outline = (*_SPECIFICATION, *appendices)
    places = {entry.id for top in outline for entry in (top, *top.parts)}
    given: dict[str, Entry] = {}
    loose: list[Entry] = []
    for entry in _flattened(spec, places):
        place = _place(entry.id)
        if place in places and place not in given:
            given[place] = entry
        else:
            loose.append(entry)
    required = [entry for entry in loose if _requires(entry.section)]
    added = tuple(replace(entry, appendix=True) for entry in loose if entry not in required)
    placed = tuple(_placed(top, given) for top in outline)
    main = tuple(
        replace(top, parts=(*top.parts, *required)) if top.role is Role.REQUIREMENTS else top
        for top in placed
        if not top.appendix
    )
    return (*main, *added, *(top for top in placed if top.appendix))


def _flattened(spec: DocumentSpec, places: set[str]) -> Iterator[Entry]:
    """The given sections; parts of a standard chapter that have a place of their own are taken out of it."""
    chapters = {entry.id for entry in _SPECIFICATION if entry.parts}
    for index, section in enumerate(spec.sections):
        entry = _given(section, f"/sections/{index}")
        if _place(section.id) not in chapters:
            yield entry
            continue
        inner = [part for part in entry.parts if _place(part.id) in places]
        yield replace(entry, parts=tuple(part for part in entry.parts if part not in inner))
        yield from inner


def _placed(place: Entry, given: dict[str, Entry]) -> Entry:
    parts = [_placed(part, given) for part in place.parts]
    present = tuple(part for part in parts if not part.optional or part.section is not None)
    filled = replace(place, parts=present)
    return _filled(filled, given[place.id]) if place.id in given else filled


def _filled(place: Entry, given: Entry) -> Entry:
    title = given.section.title if given.section and given.section.title else place.title
    return replace(
        place, title=title, id=given.id, section=given.section, pointer=given.pointer, parts=place.parts + given.parts
    )


def _given(section: SectionSpec, pointer: str) -> Entry:
    parts = tuple(_given(part, f"{pointer}/sections/{index}") for index, part in enumerate(section.sections))
    title = section.title or section.id.replace("_", " ").replace("-", " ").strip().capitalize()
    return Entry(section.id, title, parts=parts, section=section, pointer=pointer)


def _place(id_: str) -> str:
    name = id_.lower().replace("-", "_").replace(".", "_")
    return _ALIASES.get(name, name)


def _requires(section: SectionSpec | None) -> bool:
    return section is not None and (bool(section.requirements) or any(map(_requires, section.sections)))
