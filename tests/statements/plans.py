"""What a plan says of growth: whether the cost of a statement follows from the size of a table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Node: TypeAlias = "Mapping[str, object]"

SHARED = frozenset({"tenant_id", "status", "state", "kind", "topic", "month"})
"""Columns of which very many rows may have the same value."""
_EQUAL = re.compile(r"\((?:\w+\.)?(\w+) = ")
_POLICY = re.compile(r"CASE current_setting\('soma\.tenant_id'::text, true\) WHEN .*? END")
_LINKS = re.compile(r"[\s()]|\bAND\b")


@dataclass(frozen=True)
class Indexes:
    """What the catalogue says of indexes: the names of partial ones, and the columns of unique ones by table."""

    partial: frozenset[str]
    unique: Mapping[str, Sequence[frozenset[str]]]


@dataclass(frozen=True)
class Scan:
    """One reading of a table: how, by which condition of an index, with what filter, and whether a LIMIT ends it.

    The policy of the table does not count as a filter: whoever reads rows of all tenants may see them all.
    """

    table: str
    kind: str
    index: str
    condition: str
    filter: str
    limited: bool

    def growth(self, indexes: Indexes) -> str:
        """Why its cost grows with the table; "" when it does not."""
        if self.kind == "Seq Scan":
            return f"reads all of {self.table}"
        is_whole = not self.condition and self.index not in indexes.partial
        if is_whole and not (self.limited and not _LINKS.sub("", self.filter)):
            return f"reads all of index {self.index} of {self.table}"
        if not (self.limited or self._has_key(indexes)):
            return f"reads all of {self.table} that index {self.index} has for {self.condition or 'its rows'}"
        return ""

    def _has_key(self, indexes: Indexes) -> bool:
        """Whether rows are found by a column that few rows share, or by all columns of a unique index."""
        equal = set(_EQUAL.findall(self.condition + self.filter))
        is_unique = any(columns <= equal for columns in indexes.unique.get(self.table, ()))
        return is_unique or bool(set(_EQUAL.findall(self.condition)) - SHARED)


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
    elif kind in {"Sort", "Aggregate", "WindowAgg", "Hash"} and not _is_running(node):
        limited = False  # these read all of what is below them, whatever is above
    for child in node.get("Plans", ()):  # type: ignore[attr-defined]
        yield from scans(child, limited=limited or _ends_at_first(node, child))


def _scan(node: Node, kind: str, table: str, *, limited: bool) -> Scan:
    index, condition, filter_ = (str(node.get(name, "")) for name in ("Index Name", "Index Cond", "Filter"))
    return Scan(table, kind, index, condition, _POLICY.sub("", filter_), limited)


def _is_running(node: Node) -> bool:
    """Whether a node counts or sums row by row, giving each one on as it comes."""
    return "ROWS UNBOUNDED PRECEDING" in str(node.get("Window", ""))


def _ends_at_first(node: Node, child: Node) -> bool:
    """Whether no more than one row of a part is read at a time, as behind EXISTS."""
    is_loop = node["Node Type"] == "Nested Loop" and node.get("Join Type") in {"Semi", "Anti"}
    return is_loop and child.get("Parent Relationship") == "Inner"


def _indexes(node: Node) -> Iterator[Node]:
    for child in node.get("Plans", ()):  # type: ignore[attr-defined]
        if child["Node Type"] == "Bitmap Index Scan":
            yield child
        else:
            yield from _indexes(child)
