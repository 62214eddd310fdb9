"""What a plan says of growth: whether the cost of a statement follows from the size of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Node: TypeAlias = "Mapping[str, object]"


@dataclass(frozen=True)
class Scan:
    """One reading of a table: how, by which condition of an index, with what filter, and whether a LIMIT ends it."""

    table: str
    kind: str
    index: str
    condition: str
    filter: str
    limited: bool

    def growth(self, partial_indexes: frozenset[str]) -> str:
        """Why its cost grows with the table; "" when it does not."""
        if self.kind == "Seq Scan":
            return f"reads all of {self.table}"
        if not self.condition and self.index not in partial_indexes and not (self.limited and not self.filter):
            return f"reads all of index {self.index} of {self.table}"
        return ""


def scans(node: Node, *, limited: bool = False) -> Iterator[Scan]:
    """The readings of tables in a plan, in the form of EXPLAIN (FORMAT JSON)."""
    kind = str(node["Node Type"])
    limited = limited or kind == "Limit"
    if kind in {"Seq Scan", "Index Scan", "Index Only Scan"}:
        yield _scan(node, kind, str(node["Relation Name"]), limited=limited)
    elif kind == "Bitmap Heap Scan":
        for index in _indexes(node):
            yield _scan(index, kind, str(node["Relation Name"]), limited=False)
        return
    elif kind in {"Sort", "Aggregate", "WindowAgg", "Hash"}:
        limited = False  # these read all of what is below them, whatever is above
    for child in node.get("Plans", ()):  # type: ignore[attr-defined]
        yield from scans(child, limited=limited)


def _scan(node: Node, kind: str, table: str, *, limited: bool) -> Scan:
    texts = (str(node.get(name, "")) for name in ("Index Name", "Index Cond", "Filter"))
    return Scan(table, kind, *texts, limited=limited)


def _indexes(node: Node) -> Iterator[Node]:
    for child in node.get("Plans", ()):  # type: ignore[attr-defined]
        if child["Node Type"] == "Bitmap Index Scan":
            yield child
        else:
            yield from _indexes(child)
