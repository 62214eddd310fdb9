"""The neutral content tree: what a document says, before any format. Three writers (Markdown, HTML, PDF) read it."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, ClassVar, TypeAlias, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from soma_documents.document import Figure


@dataclass(frozen=True)
class Text:
    """Plain words."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Code:
    """Words in a fixed pitch."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Styled:
    """Words that stand out; `style` is strong, emph, strike or quiet."""

    kind: ClassVar[str] = "styled"
    style: str
    children: tuple[Inline, ...]


@dataclass(frozen=True)
class Link:
    """A link out of the document; the address is http, https, mailto or a file of the bundle."""

    kind: ClassVar[str] = "link"
    href: str
    children: tuple[Inline, ...]


@dataclass(frozen=True)
class CrossReference:
    """A cross reference as written, `[[fig:login]]`; replaced by InternalLink or Gap before anything is rendered."""

    kind: ClassVar[str] = "cross"
    target_kind: str
    target: str


@dataclass(frozen=True)
class InternalLink:
    """A resolved cross reference: a link inside the document."""

    kind: ClassVar[str] = "jump"
    anchor: str
    text: str


@dataclass(frozen=True)
class Gap:
    """Something that is missing, marked so that nobody overlooks it."""

    kind: ClassVar[str] = "gap"
    text: str


@dataclass(frozen=True)
class Break:
    """A line break."""

    kind: ClassVar[str] = "break"


Inline: TypeAlias = Text | Code | Styled | Link | CrossReference | InternalLink | Gap | Break


@dataclass(frozen=True)
class Paragraph:
    """Running text; `style` is "" or quiet (small, for notes on the text)."""

    kind: ClassVar[str] = "paragraph"
    children: tuple[Inline, ...]
    style: str = ""


@dataclass(frozen=True)
class MinorHeading:
    """A heading inside a section's body: without number, not in the table of contents; `rank` 1 to 3."""

    kind: ClassVar[str] = "minor"
    rank: int
    children: tuple[Inline, ...]


@dataclass(frozen=True)
class Listing:
    """A list with bullets or, when `start` is given, with numbers from there."""

    kind: ClassVar[str] = "listing"
    items: tuple[tuple[Block, ...], ...]
    start: int | None = None


@dataclass(frozen=True)
class CodeBlock:
    """Lines in a fixed pitch."""

    kind: ClassVar[str] = "codeblock"
    text: str
    language: str = ""


@dataclass(frozen=True)
class Quote:
    """Words of somebody else."""

    kind: ClassVar[str] = "quote"
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Rule:
    """A thematic break."""

    kind: ClassVar[str] = "rule"


@dataclass(frozen=True)
class Row:
    """A row of a table; `anchor` makes it a target of links."""

    cells: tuple[tuple[Inline, ...], ...]
    anchor: str = ""


@dataclass(frozen=True)
class Table:
    """A table with a header row; `row_headers` says that the first cell of a row names it.

    `weights` are the columns' shares of the width, 0 for as narrow as its content. `label` ("Table 2") is set by
    numbering for tables with a caption.
    """

    kind: ClassVar[str] = "table"
    header: tuple[tuple[Inline, ...], ...]
    rows: tuple[Row, ...]
    weights: tuple[int, ...] = ()
    caption: str = ""
    label: str = ""
    anchor: str = ""
    row_headers: bool = False


@dataclass(frozen=True)
class FigureBlock:
    """A picture or a recording with its caption; `back` are links to where it is referred to."""

    kind: ClassVar[str] = "figure"
    figure: Figure
    back: tuple[InternalLink, ...] = ()


Block: TypeAlias = Paragraph | MinorHeading | Listing | CodeBlock | Quote | Rule | Table | FigureBlock
Node = TypeVar("Node")

LEAVES = (Text, Code, CrossReference, InternalLink, Gap, Break)


def rewrite(node: Node, change: Callable[[Inline], Inline]) -> Node:
    """The same tree with every leaf of running text replaced by `change(leaf)`."""
    if isinstance(node, LEAVES):
        return cast("Node", change(node))
    if isinstance(node, tuple):
        return cast("Node", tuple(rewrite(child, change) for child in node))
    if not is_dataclass(node) or isinstance(node, (type, FigureBlock)):
        return node
    inner = {
        field.name: rewrite(value, change)
        for field in fields(node)
        if isinstance(value := getattr(node, field.name), tuple)
    }
    return cast("Node", replace(node, **inner)) if inner else node


def leaves(node: object) -> Iterator[Inline]:
    """Every leaf of running text, in order."""
    if isinstance(node, LEAVES):
        yield node
    elif isinstance(node, tuple):
        for child in node:
            yield from leaves(child)
    elif is_dataclass(node) and not isinstance(node, (type, FigureBlock)):
        for field in fields(node):
            value = getattr(node, field.name)
            if isinstance(value, tuple):
                yield from leaves(value)


def plain(node: object) -> str:
    """The words alone."""
    return "".join(_words(leaf) for leaf in leaves(node))


def _words(leaf: Inline) -> str:
    if isinstance(leaf, (Text, Code, InternalLink, Gap)):
        return leaf.text
    return " "
