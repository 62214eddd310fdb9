"""A composed document with resolved references and numbers, which the writers render."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from soma_documents.blocks import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soma_documents.blocks import Block, InternalLink
    from soma_documents.model import DocumentSpec, OriginSpec


@dataclass(frozen=True)
class File:
    """A file of an input, with its path in the bundle."""

    name: str
    path: str
    media_type: str
    content: bytes = field(repr=False)
    sha256: str
    asset_id: str = ""


@dataclass(frozen=True)
class Figure:
    """A figure: an image or a recording.

    It has either files or, in `missing`, the name of its absent input. `embedded`: HTML contains the bytes, else it
    links to `assets/`. Sizes are in CSS pixels. `live_text`: the SVG has text that depends on fonts.
    """

    id: str
    anchor: str
    label: str
    caption: str
    alt: str
    raster: File | None = None
    vector: File | None = None
    sound: File | None = None
    video: File | None = None
    width: float = 0.0
    height: float = 0.0
    live_text: bool = False
    embedded: bool = True
    details: str = ""
    missing: str = ""

    @property
    def files(self) -> tuple[File, ...]:
        """All files of the figure, the main one first."""
        return tuple(file for file in (self.raster, self.vector, self.sound, self.video) if file is not None)

    @property
    def screen_file(self) -> File | None:
        """The file for screens: vector before raster."""
        return self.vector or self.raster or self.sound or self.video

    @property
    def print_file(self) -> File | None:
        """The file for PDF: vector before raster.

        An SVG with live text needs fonts that the PDF writer does not have, so its raster variant is preferred.
        """
        if self.vector is not None and not (self.live_text and self.raster is not None):
            return self.vector
        return self.raster


@dataclass(frozen=True)
class Section:
    """A numbered section. `source` is its text as given, to compare revisions."""

    id: str
    number: str
    title: str
    anchor: str
    level: int
    blocks: tuple[Block, ...] = ()
    backlinks: tuple[InternalLink, ...] = ()
    source: str = ""
    appendix: bool = False

    @property
    def heading(self) -> str:
        """Number and title as shown."""
        if self.appendix and self.level == 1:
            return f"Appendix {self.number}. {self.title}"
        return f"{self.number} {self.title}"


@dataclass(frozen=True)
class Document:
    """A document; `files` are all used inputs, `digest` is the SHA-256 of its content in hexadecimal."""

    spec: DocumentSpec
    sections: tuple[Section, ...]
    figures: tuple[Figure, ...]
    files: tuple[File, ...]
    origins: Mapping[str, OriginSpec]
    control: tuple[Table, ...] = ()
    gaps: tuple[str, ...] = ()
    digest: str = ""

    def find_origin(self, file: File) -> OriginSpec | None:
        """Returns the origin of a file by the name of its input, that of its main variant, or its asset id."""
        main = file.name.rpartition(".")[0]
        for name in (file.name, file.asset_id, main):
            if name in self.origins:
                return self.origins[name]
        return None

    @property
    def tables(self) -> tuple[Table, ...]:
        """The numbered tables, in order."""
        return tuple(
            block for section in self.sections for block in section.blocks if isinstance(block, Table) and block.label
        )
