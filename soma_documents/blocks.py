"""The content tree of a document, independent of the output format; read by the writers of Markdown, HTML and PDF."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, ClassVar, TypeAlias, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from soma_documents.document import Figure


@dataclass(frozen=True)
class Text:
    """Plain text."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Code:
    """Inline code."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Styled:
    """Styled text; `style` is strong, emph, strike or quiet (small)."""

    kind: ClassVar[str] = "styled"
    style: str
    children: tuple[Inline, ...]


@dataclass(frozen=True)
class Link:
    """An external link; `href` is http, https, mailto or a file of the bundle."""

    kind: ClassVar[str] = "link"
    href: str
    children: tuple[Inline, ...]


@dataclass(frozen=True)
class CrossReference:
    """An unresolved cross reference, `[[fig:login]]`; replaced by InternalLink or Gap before rendering."""

    kind: ClassVar[str] = "cross"
    target_kind: str
    target: str


@dataclass(frozen=True)
class InternalLink:
    """A link within the document: a resolved cross reference."""

    kind: ClassVar[str] = "jump"
    anchor: str
    text: str


@dataclass(frozen=True)
class Gap:
    """A visible mark of something that is missing."""

    kind: ClassVar[str] = "gap"
    text: str


@dataclass(frozen=True)
class Break:
    """A line break."""

    kind: ClassVar[str] = "break"


Inline: TypeAlias = Text | Code | Styled | Link | CrossReference | InternalLink | Gap | Break


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; `style` is "" or quiet (small)."""

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
    """A code block."""

    kind: ClassVar[str] = "codeblock"
    text: str
    language: str = ""


@dataclass(frozen=True)
class Quote:
    """A block quote."""

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
    """A table with a header row; with `row_headers` the first cell of each row is a header, too.

    `weights` are the relative widths of the columns, 0 for the width of the content. `label` ("Table 2") is set by
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
    """A figure with its caption; `backlinks` are links to what refers to it."""

    kind: ClassVar[str] = "figure"
    figure: Figure
    backlinks: tuple[InternalLink, ...] = ()


Block: TypeAlias = Paragraph | MinorHeading | Listing | CodeBlock | Quote | Rule | Table | FigureBlock
Node = TypeVar("Node")

LEAVES = (Text, Code, CrossReference, InternalLink, Gap, Break)


def map_leaves(node: Node, change: Callable[[Inline], Inline]) -> Node:
    """Returns the tree with every inline leaf replaced by `change(leaf)`."""
    if isinstance(node, LEAVES):
        return cast("Node", change(node))
    if isinstance(node, tuple):
        return cast("Node", tuple(map_leaves(child, change) for child in node))
    if not is_dataclass(node) or isinstance(node, (type, FigureBlock)):
        return node
    inner = {
        field.name: map_leaves(value, change)
        for field in fields(node)
        if isinstance(value := getattr(node, field.name), tuple)
    }
    return cast("Node", replace(node, **inner)) if inner else node


def leaves(node: object) -> Iterator[Inline]:
    """Yields the inline leaves of a tree, in order."""
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


def plain_text(node: object) -> str:
    """Returns the text of a tree, without styles."""
    return "".join(_leaf_text(leaf) for leaf in leaves(node))


def _leaf_text(leaf: Inline) -> str:
    if isinstance(leaf, (Text, Code, InternalLink, Gap)):
        return leaf.text
    return " "
