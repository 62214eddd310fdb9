"""A document with everything resolved and numbered: what the writers are given."""

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
    """Bytes of an input, under the path that they have in the bundle."""

    name: str
    path: str
    media_type: str
    content: bytes = field(repr=False)
    sha256: str
    asset_id: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture or recording in its place.

    Exactly one of `missing` (the name of the absent input) or a file is given. `embedded` says whether HTML carries the
    bytes or links to `assets/`. Sizes are in pixels of the picture shown at 96 to the inch.
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
    facts: str = ""
    missing: str = ""

    @property
    def files(self) -> tuple[File, ...]:
        """All its files, the main one first."""
        return tuple(file for file in (self.raster, self.vector, self.sound, self.video) if file is not None)

    @property
    def shown(self) -> File | None:
        """The file that a screen shows best: vector before raster."""
        return self.vector or self.raster or self.sound or self.video

    @property
    def printed(self) -> File | None:
        """The file that prints sharp.

        A vector picture with live text needs fonts that a PDF made offline does not have: its pixels are used if there
        are any.
        """
        if self.vector is not None and not (self.live_text and self.raster is not None):
            return self.vector
        return self.raster


@dataclass(frozen=True)
class Section:
    """A numbered section. `source` is its text as given, for comparing revisions."""

    id: str
    number: str
    title: str
    anchor: str
    level: int
    blocks: tuple[Block, ...] = ()
    back: tuple[InternalLink, ...] = ()
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
    """The whole; `files` are all inputs used, `digest` is the SHA-256 of its content in hexadecimal."""

    spec: DocumentSpec
    sections: tuple[Section, ...]
    figures: tuple[Figure, ...]
    files: tuple[File, ...]
    origins: Mapping[str, OriginSpec]
    control: tuple[Table, ...] = ()
    gaps: tuple[str, ...] = ()
    digest: str = ""

    def origin_of(self, file: File) -> OriginSpec | None:
        """Where a file comes from: told by its input's name (variants share their main one's) or by its asset id."""
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
