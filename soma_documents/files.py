"""The inputs and outputs of a composition, which can be pickled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soma_documents.model import Kind, Output


@dataclass(frozen=True)
class SvgInspection:
    """The caller's inspection of an SVG: its natural size in CSS pixels, or in `refusal` why it must not be shown.

    The caller must refuse an SVG that runs code or loads files. `refusal` is part of a sentence for people.
    """

    width: float = 0.0
    height: float = 0.0
    refusal: str = ""


@dataclass(frozen=True)
class InputFile:
    """A picture, a recording or a text that a document shows.

    `caption` is the default caption of its figure. `asset_id` is the caller's id of the file; it is written
    into the manifest of the bundle. `svg` is required for an SVG; other images are decoded and measured here.
    """

    content: bytes = field(repr=False)
    media_type: str
    asset_id: str = ""
    caption: str = ""
    svg: SvgInspection | None = None


Inputs: TypeAlias = "Mapping[str, InputFile | str]"
"""Files and texts by the names that the parameters use. A variant is named after its file: `login`, `login.svg`."""


@dataclass(frozen=True)
class OutputFile:
    """A document in one format; `filename` is its title in small letters, with the ending of the format."""

    output: Output
    filename: str
    media_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class DocumentSummary:
    """The summary of a document.

    `content_sha256` is hexadecimal, and equal for equal parameters and inputs. `sections`, `figures` and `tables` are
    counts. Each of `gaps` is a short sentence about something that is missing, such as "REQ-2 has no test".
    """

    title: str
    kind: Kind
    version: str
    content_sha256: str
    sections: int
    figures: int
    tables: int
    gaps: tuple[str, ...]


@dataclass(frozen=True)
class WrittenDocument:
    """The files of a document, in the order of the parameter `outputs`; `engine` typesets PDFs ("typst 0.15.2")."""

    files: tuple[OutputFile, ...]
    summary: DocumentSummary
    engine: str
