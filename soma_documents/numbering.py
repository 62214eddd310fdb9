"""Numbers sections, figures and tables in document order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from soma_documents.blocks import Block, CrossReference, Table, leaves

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from soma_documents.document import Section
    from soma_documents.model import FigureSpec
    from soma_documents.outline import Entry


@dataclass(frozen=True)
class NumberedEntry:
    """An entry of the outline with its number."""

    entry: Entry
    number: str
    level: int
    appendix: bool


def number_sections(outline: Sequence[Entry]) -> list[NumberedEntry]:
    """Returns the entries in document order, numbered 1, 1.1, 1.1.1 …; appendices A, A.1 …."""
    numbered: list[NumberedEntry] = []
    chapters = appendices = 0
    for entry in outline:
        if entry.appendix:
            numbered.extend(_number_subtree(entry, _appendix_letters(appendices), 1, appendix=True))
            appendices += 1
        else:
            chapters += 1
            numbered.extend(_number_subtree(entry, str(chapters), 1, appendix=False))
    return numbered


def _number_subtree(entry: Entry, number: str, level: int, *, appendix: bool) -> Iterable[NumberedEntry]:
    yield NumberedEntry(entry, number, level, appendix)
    for index, child in enumerate(entry.children, start=1):
        yield from _number_subtree(child, f"{number}.{index}", level + 1, appendix=appendix)


def _appendix_letters(index: int) -> str:
    """Returns A to Z, then AA, AB …."""
    letters = ""
    index += 1
    while index:
        index, remainder = divmod(index - 1, 26)
        letters = chr(ord("A") + remainder) + letters
    return letters


@dataclass(frozen=True)
class Placement:
    """A figure of a section, and the index of the block that it follows; -1: before the first block."""

    figure: FigureSpec
    pointer: str
    after: int


def place_figures(blocks: Sequence[Block], figures: Sequence[FigureSpec], pointer: str) -> list[Placement]:
    """Places each figure after the block that refers to it first, others at the end."""
    mentioned: dict[str, tuple[int, int]] = {}
    for index, block in enumerate(blocks):
        for leaf in leaves(block):
            if isinstance(leaf, CrossReference) and leaf.target_kind == "fig":
                mentioned.setdefault(leaf.target, (index, len(mentioned)))
    end = (len(blocks) - 1, len(mentioned))
    placed = [
        (position := mentioned.get(figure.id, end), Placement(figure, f"{pointer}/figures/{index}", position[0]))
        for index, figure in enumerate(figures)
    ]
    return [placement for _, placement in sorted(placed, key=lambda pair: pair[0])]


class LabelCounter:
    """Numbers figures by noun: Figure 1, Figure 2, Audio 1."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def next_label(self, noun: str) -> str:
        """Returns the next label with this noun."""
        self._counts[noun] = self._counts.get(noun, 0) + 1
        return f"{noun} {self._counts[noun]}"


def number_tables(sections: Iterable[Section]) -> tuple[Section, ...]:
    """Numbers the tables that have a caption."""
    count = 0
    numbered: list[Section] = []
    for section in sections:
        blocks: list[Block] = []
        for block in section.blocks:
            if isinstance(block, Table) and block.caption:
                count += 1
                blocks.append(replace(block, label=f"Table {count}", anchor=f"table-{count}"))
            else:
                blocks.append(block)
        numbered.append(replace(section, blocks=tuple(blocks)))
    return tuple(numbered)
