"""Numbers for sections, figures and tables, in the order of reading."""

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
    """An entry of the outline with its number, flat, in the order of reading."""

    entry: Entry
    number: str
    level: int
    appendix: bool


def number_sections(outline: Sequence[Entry]) -> list[NumberedEntry]:
    """1, 1.1, 1.1.1 …; appendices A, A.1 …."""
    found: list[NumberedEntry] = []
    chapters = appendices = 0
    for entry in outline:
        if entry.appendix:
            found.extend(_below(entry, _letter(appendices), 1, appendix=True))
            appendices += 1
        else:
            chapters += 1
            found.extend(_below(entry, str(chapters), 1, appendix=False))
    return found


def _below(entry: Entry, number: str, level: int, *, appendix: bool) -> Iterable[NumberedEntry]:
    yield NumberedEntry(entry, number, level, appendix)
    for index, part in enumerate(entry.parts, start=1):
        yield from _below(part, f"{number}.{index}", level + 1, appendix=appendix)


def _letter(index: int) -> str:
    """A to Z, then AA, AB …."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


@dataclass(frozen=True)
class Placement:
    """A figure of a section and the index of the block that it follows; -1 puts it before the first."""

    figure: FigureSpec
    pointer: str
    after: int


def place_figures(blocks: Sequence[Block], figures: Sequence[FigureSpec], pointer: str) -> list[Placement]:
    """Each figure follows the block that first mentions it; those not mentioned close the text."""
    mentioned: dict[str, tuple[int, int]] = {}
    for index, block in enumerate(blocks):
        for leaf in leaves(block):
            if isinstance(leaf, CrossReference) and leaf.target_kind == "fig":
                mentioned.setdefault(leaf.target, (index, len(mentioned)))
    end = (len(blocks) - 1, len(mentioned))
    placed = [
        (place := mentioned.get(figure.id, end), Placement(figure, f"{pointer}/figures/{index}", place[0]))
        for index, figure in enumerate(figures)
    ]
    return [placement for _, placement in sorted(placed, key=lambda pair: pair[0])]


class FigureCounter:
    """Counts pictures and recordings apart: Figure 1, Figure 2, Audio 1."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def next(self, word: str) -> str:
        """The next label of its kind."""
        self._counts[word] = self._counts.get(word, 0) + 1
        return f"{word} {self._counts[word]}"


def number_tables(sections: Iterable[Section]) -> tuple[Section, ...]:
    """Labels for the tables that have a caption."""
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
