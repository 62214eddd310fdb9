"""Cross references: resolved to links, with backlinks from each target to what refers to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from soma_documents.blocks import CrossReference, Gap, Inline, InternalLink, map_leaves

if TYPE_CHECKING:
    from collections.abc import Iterable

Node = TypeVar("Node")

_TARGET_NAMES = {
    "fig": "figure",
    "req": "requirement",
    "sec": "section",
    "design": "design element",
    "test": "test",
    "ref": "reference",
}


def anchor(kind: str, id_: str) -> str:
    """Returns the anchor of a target, which is the same in every format."""
    return f"{kind}-{id_}"


class CrossReferences:
    """Resolves cross references to registered targets, and records the backlinks."""

    def __init__(self) -> None:
        self._labels: dict[tuple[str, str], str] = {}
        self._backlinks: dict[str, dict[str, InternalLink]] = {}
        self.broken: list[tuple[str, str]] = []

    def add_target(self, kind: str, id_: str, label: str) -> None:
        """Registers a target and the text of links to it."""
        self._labels[kind, id_] = label

    def link_to(self, kind: str, id_: str) -> InternalLink:
        """Returns a link to a registered target."""
        return InternalLink(anchor(kind, id_), self._labels[kind, id_])

    def add_backlink(self, source: InternalLink, kind: str, id_: str) -> None:
        """Records that `source` refers to a target."""
        if source.anchor != anchor(kind, id_):
            self._backlinks.setdefault(anchor(kind, id_), {}).setdefault(source.anchor, source)

    def resolve(self, tree: Node, source: InternalLink, pointer: str) -> Node:
        """Resolves the cross references of a tree; those without a target become gaps, listed in `broken`."""

        def change(leaf: Inline) -> Inline:
            if not isinstance(leaf, CrossReference):
                return leaf
            if (leaf.target_kind, leaf.target) not in self._labels:
                message = f"there is no {_TARGET_NAMES[leaf.target_kind]} {leaf.target!r} to refer to"
                self.broken.append((pointer, message))
                return Gap(f"missing {_TARGET_NAMES[leaf.target_kind]} {leaf.target}")
            self.add_backlink(source, leaf.target_kind, leaf.target)
            return self.link_to(leaf.target_kind, leaf.target)

        return map_leaves(tree, change)

    def backlinks(self, kind: str, id_: str) -> tuple[InternalLink, ...]:
        """Returns links to everything that refers to a target, in the order in which it was found."""
        return tuple(self._backlinks.get(anchor(kind, id_), {}).values())


def join_inlines(inlines: Iterable[Inline], separator: Inline) -> tuple[Inline, ...]:
    """Returns the inlines with the separator between them."""
    joined: list[Inline] = []
    for inline in inlines:
        joined.extend((separator, inline) if joined else (inline,))
    return tuple(joined)
