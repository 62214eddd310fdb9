"""How large a JSON value is at each depth, which bounds the work of checking it against a schema."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from pydantic import JsonValue

_CONTAINER = 4
"""What an object or a list counts as: it takes that many times as long to read as a number."""


class SchemaError(ValueError):
    """A schema that cannot be used; the text says why and follows "the schema"."""


@dataclass
class Levels:
    """How many nodes and how many characters a value has at each depth.

    A property's name is a node of its own, below its object; its characters count there and at the object.
    """

    nodes: list[int] = field(default_factory=list)
    chars: list[int] = field(default_factory=list)

    def add(self, depth: int, nodes: int, chars: int) -> None:
        """Counts more at one depth."""
        while len(self.nodes) <= depth:
            self.nodes.append(0)
            self.chars.append(0)
        self.nodes[depth] += nodes
        self.chars[depth] += chars

    def size(self) -> int:
        """Roughly the bytes of the value in memory."""
        return 16 * sum(self.nodes) + sum(self.chars)


def measure(value: JsonValue, deepest: int, most_nodes: int) -> Levels:
    """Counts a value; SchemaError when it is deeper or larger, or holds a number that JSON cannot.

    For `most_nodes`, an object or a list counts as five values.
    """
    levels, todo = Levels(), [(value, -1)]
    total = _count([value], 0, levels)
    while todo:
        item, depth = todo.pop()
        depth += 1
        if isinstance(item, dict):
            parts: Collection[JsonValue] = item.values()
            text = sum(map(len, item))
            levels.add(depth, 0, text)
            levels.add(depth + 1, len(item), text)
        elif isinstance(item, list):
            parts = item
        else:
            continue
        total += _count(parts, depth + 1, levels) + _CONTAINER
        if depth >= deepest and parts:
            raise SchemaError(f"is nested deeper than {deepest} levels")
        if total > most_nodes:
            raise SchemaError(f"holds more than {most_nodes} values")
        todo.extend((part, depth) for part in parts if isinstance(part, dict | list))
    return levels


def _count(parts: Collection[JsonValue], depth: int, levels: Levels) -> int:
    levels.add(depth, len(parts), sum(len(part) for part in parts if isinstance(part, str)))
    if not all(math.isfinite(part) for part in parts if isinstance(part, float)):
        raise SchemaError("holds a number that is not finite")
    return len(parts)
