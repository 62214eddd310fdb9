"""The parameters of a document and their validation, which reports all problems at once."""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - pydantic reads the types of fields
import re
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from soma_documents.errors import ComposeError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

JsonValue: TypeAlias = "str | int | float | bool | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
"""A value that JSON can hold."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")
MAX_BODY_CHARS = 200_000
MAX_DEPTH = 4
_BODY = "body"
_NO_BODY = f'must be a text of at most {MAX_BODY_CHARS} characters or {{"from": "<name of an input>"}}'


def clean_text(text: str) -> str:
    """Returns the text without control characters, with normalized line ends."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub("", text.encode("utf-8", "ignore").decode("utf-8"))


def _one_line(text: str) -> str:
    return " ".join(clean_text(text).split())


def _titled(value: object) -> object:
    return {"title": value} if isinstance(value, str) else value


Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$")]
Line = Annotated[str, Field(max_length=500), AfterValidator(_one_line)]
Word = Annotated[str, Field(max_length=60), AfterValidator(_one_line)]
Title = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_one_line)]
Prose = Annotated[str, Field(max_length=MAX_BODY_CHARS), AfterValidator(clean_text)]
InputName = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Address = Annotated[str, StringConstraints(pattern=r"^(https?://|mailto:)[^\s<>\"'\\]{1,500}$")]
Kind = Literal["srs", "report", "design_note"]
Output = Literal["markdown", "html", "pdf", "bundle"]
KIND_NAMES: dict[Kind, str] = {
    "srs": "Software requirements specification",
    "report": "Report",
    "design_note": "Design note",
}


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TextFrom(_Spec):
    """A body that is taken from an input."""

    name: InputName = Field(alias="from")


class FigureSpec(_Spec):
    """A picture or recording of a section; `asset` is the name of an input, `alt` is its alternative text."""

    id: Id
    asset: InputName
    caption: Line = ""
    alt: Line = ""


class RequirementSpec(_Spec):
    """One requirement; `traces_to` names design elements, tests, figures or inputs."""

    id: Id
    title: Title
    text: Prose = ""
    priority: Word = ""
    verification: Word = ""
    rationale: Prose = ""
    traces_to: tuple[InputName, ...] = Field(default=(), max_length=100)


class SectionSpec(_Spec):
    """A section; its default title is that of the standard outline, or follows from its id."""

    id: Id
    title: Line = ""
    body: Prose | TextFrom = ""
    sections: tuple[SectionSpec, ...] = Field(default=(), max_length=100)
    figures: tuple[FigureSpec, ...] = Field(default=(), max_length=100)
    requirements: tuple[RequirementSpec, ...] = Field(default=(), max_length=500)


class RevisionSpec(_Spec):
    """An entry of the document's history."""

    version: Line
    date: dt.date
    author: Line = ""
    change: Line = ""


class ReferenceSpec(_Spec):
    """A reference to another document; a string is its title."""

    title: Title
    id: Id | None = None
    url: Address | None = None


class TermSpec(_Spec):
    """A term and what it means here."""

    term: Title
    definition: Prose


class DesignElementSpec(_Spec):
    """A part of the design that requirements trace to."""

    id: Id
    title: Title


class CaseSpec(_Spec):
    """A test and the requirements that it verifies."""

    id: Id
    title: Title
    verifies: tuple[Id, ...] = Field(default=(), max_length=500)


class OriginSpec(BaseModel):
    """Where an input comes from, as its caller recorded it. Costs in millionths of a US dollar, latency in ms."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    asset_id: str = ""
    capability_id: str = ""
    model: str = ""
    selection_id: str = ""
    execution_id: str = ""
    checksum_sha256: str = ""
    license: str = ""
    quality_score: float | None = None
    cost_micro_usd: int = 0
    latency_ms: int = 0


class DocumentSpec(_Spec):
    """The parameters of a document."""

    title: Title
    kind: Kind = "report"
    subtitle: Line = ""
    version: Line = ""
    status: Line = ""
    authors: tuple[Title, ...] = Field(default=(), max_length=50)
    date: dt.date | None = None
    history: tuple[RevisionSpec, ...] = Field(default=(), max_length=200)
    sections: tuple[SectionSpec, ...] = Field(default=(), max_length=100)
    references: tuple[Annotated[ReferenceSpec, BeforeValidator(_titled)], ...] = Field(default=(), max_length=300)
    glossary: tuple[TermSpec, ...] = Field(default=(), max_length=300)
    design_elements: tuple[DesignElementSpec, ...] = Field(default=(), max_length=500)
    tests: tuple[CaseSpec, ...] = Field(default=(), max_length=1000)
    outputs: tuple[Output, ...] = Field(default=("markdown", "html", "pdf", "bundle"), min_length=1, max_length=4)
    missing_assets: Literal["error", "mark"] = "error"
    markdown_figures: Literal["linked", "embedded"] = "linked"
    embed_limit_bytes: int = Field(default=2_000_000, ge=0, le=50_000_000)
    provenance: dict[str, OriginSpec] = Field(default_factory=dict, max_length=500)


def read_spec(params: Mapping[str, JsonValue]) -> DocumentSpec:
    """Returns the parsed parameters; raises ComposeError with every problem."""
    try:
        spec = DocumentSpec.model_validate(params)
    except ValidationError as error:
        found = [_validation_problem(entry["loc"], entry["msg"]) for entry in error.errors()]
        raise ComposeError(list(dict.fromkeys(found))) from None
    problems = list(_find_duplicates(spec))
    problems += [_depth_problem(pointer) for pointer, _, depth in walk_sections(spec.sections) if depth > MAX_DEPTH]
    if problems:
        raise ComposeError(problems)
    return spec


def walk_sections(
    sections: Sequence[SectionSpec], pointer: str = "", depth: int = 1
) -> list[tuple[str, SectionSpec, int]]:
    """Returns every section with its JSON pointer and depth, in document order."""
    found: list[tuple[str, SectionSpec, int]] = []
    for index, section in enumerate(sections):
        child_pointer = f"{pointer}/sections/{index}"
        found.append((child_pointer, section, depth))
        found.extend(walk_sections(section.sections, child_pointer, depth + 1))
    return found


def _find_duplicates(spec: DocumentSpec) -> list[Problem]:
    nested = walk_sections(spec.sections)
    groups: dict[str, list[tuple[str, str]]] = {
        "section": [(pointer, section.id) for pointer, section, _ in nested],
        "figure": [
            (f"{pointer}/figures/{index}", figure.id)
            for pointer, section, _ in nested
            for index, figure in enumerate(section.figures)
        ],
        "requirement": [
            (f"{pointer}/requirements/{index}", requirement.id)
            for pointer, section, _ in nested
            for index, requirement in enumerate(section.requirements)
        ],
        "design element": [(f"/design_elements/{index}", item.id) for index, item in enumerate(spec.design_elements)],
        "test": [(f"/tests/{index}", item.id) for index, item in enumerate(spec.tests)],
        "reference": [(f"/references/{index}", item.id) for index, item in enumerate(spec.references) if item.id],
        "output": [(f"/outputs/{index}", item) for index, item in enumerate(spec.outputs)],
    }
    problems = []
    for kind, named in groups.items():
        seen: set[str] = set()
        for pointer, name in named:
            if name in seen:
                problems.append(Problem(pointer, f"the {kind} {name!r} is given twice"))
            seen.add(name)
    return problems


def _depth_problem(pointer: str) -> Problem:
    return Problem(pointer, f"sections nest deeper than {MAX_DEPTH} levels")


def _validation_problem(location: tuple[int | str, ...], message: str) -> Problem:
    """Returns a validation error as a problem; an invalid body, which has one error per type, is one problem."""
    steps = list(location)
    if steps[:1] == ["sections"] and _BODY in steps:
        steps, message = steps[: steps.index(_BODY) + 1], _NO_BODY
    return Problem("".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps), message)
