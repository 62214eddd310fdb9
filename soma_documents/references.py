"""References: turned into numbered links, and counted backwards so that every target knows who points at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from soma_documents.blocks import CrossReference, Gap, Inline, InternalLink, rewrite

if TYPE_CHECKING:
    from collections.abc import Iterable

Node = TypeVar("Node")

_WORDS = {
    "fig": "figure",
    "req": "requirement",
    "sec": "section",
    "design": "design element",
    "test": "test",
    "ref": "reference",
}


def anchor(kind: str, id_: str) -> str:
    """The anchor of a target, the same in every format."""
    return f"{kind}-{id_}"


class CrossReferences:
    """Knows every target; resolves what points at them and remembers from where."""

    def __init__(self) -> None:
        self._labels: dict[tuple[str, str], str] = {}
        self._back: dict[str, dict[str, InternalLink]] = {}
        self.broken: list[tuple[str, str]] = []

    def add(self, kind: str, id_: str, label: str) -> None:
        """Make something a target."""
        self._labels[kind, id_] = label

    def jump(self, kind: str, id_: str) -> InternalLink:
        """The link to a known target."""
        return InternalLink(anchor(kind, id_), self._labels[kind, id_])

    def point(self, source: InternalLink, kind: str, id_: str) -> None:
        """Remember that `source` points at a target."""
        if source.anchor != anchor(kind, id_):
            self._back.setdefault(anchor(kind, id_), {}).setdefault(source.anchor, source)

    def resolve(self, tree: Node, source: InternalLink, pointer: str) -> Node:
        """The tree with its cross references resolved; those without a target become gaps, listed in `broken`."""

        def change(leaf: Inline) -> Inline:
            if not isinstance(leaf, CrossReference):
                return leaf
            if (leaf.target_kind, leaf.target) not in self._labels:
                message = f"there is no {_WORDS[leaf.target_kind]} {leaf.target!r} to refer to"
                self.broken.append((pointer, message))
                return Gap(f"missing {_WORDS[leaf.target_kind]} {leaf.target}")
            self.point(source, leaf.target_kind, leaf.target)
            return self.jump(leaf.target_kind, leaf.target)

        return rewrite(tree, change)

    def back(self, kind: str, id_: str) -> tuple[InternalLink, ...]:
        """Links to everything that points at a target, in the order found."""
        return tuple(self._back.get(anchor(kind, id_), {}).values())


def listed(jumps: Iterable[Inline], separator: Inline) -> tuple[Inline, ...]:
    """The links in a row, separated."""
    row: list[Inline] = []
    for jump in jumps:
        row.extend((separator, jump) if row else (jump,))
    return tuple(row)
