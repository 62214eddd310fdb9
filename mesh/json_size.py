"""How large a JSON value is at each depth, which bounds the work of checking it against a schema."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mesh.json_numbers import MAX_SAFE_INTEGER

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pydantic import JsonValue

_HASHED = 16
"""Evaluations that one node counts as where equal items are found by their hashes, or where they are few."""
_LARGE_INTEGER = 64
"""Evaluations that comparing two integers counts as of which many have one hash, being above `MAX_SAFE_INTEGER`."""
_COMPARED = 2
"""Evaluations that comparing two parts of lists or objects counts as."""
_TINY = 1 / MAX_SAFE_INTEGER
_BITS_OF_NODE = 8
"""Bits that count as a node, of numbers above `MAX_SAFE_INTEGER` and below `_TINY`.

Comparing 1,024 bits takes up to 26 us.
"""
BYTES_OF_NODE = 16
_CONTAINER = 4
"""What an object or a list counts as: it takes that many times as long to read as a number."""


class SchemaError(ValueError):
    """A schema that cannot be used; the text says why and follows "the schema"."""


@dataclass
class Levels:
    """How many nodes and how many characters a value has at each depth.

    A property's name is a node of its own, below its object; its characters count there and at the object. A number
    above `MAX_SAFE_INTEGER` or below `_TINY` counts as more nodes, the more bits it has as a fraction of integers.
    `comparisons` says how often a node can be compared to find equal items of a list at that depth which it is within.
    """

    nodes: list[int] = field(default_factory=list)
    chars: list[int] = field(default_factory=list)
    comparisons: list[int] = field(default_factory=list)

    def add(self, depth: int, nodes: int, chars: int) -> None:
        """Counts more at one depth."""
        while len(self.nodes) <= depth:
            self.nodes.append(0)
            self.chars.append(0)
            self.comparisons.append(0)
        self.nodes[depth] += nodes
        self.chars[depth] += chars

    def size(self) -> int:
        """Roughly the bytes of the value in memory."""
        return BYTES_OF_NODE * sum(self.nodes) + sum(self.chars)


def measure(value: JsonValue, max_depth: int, max_nodes: int) -> Levels:
    """Counts a value; SchemaError when it is deeper or larger, or holds a number that JSON cannot.

    For `max_nodes`, an object or a list counts as five values.
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
            levels.comparisons[depth] = max(levels.comparisons[depth], _comparisons(item))
        else:
            continue
        total += _count(parts, depth + 1, levels) + _CONTAINER
        if depth >= max_depth and parts:
            raise SchemaError(f"is nested deeper than {max_depth} levels")
        if total > max_nodes:
            raise SchemaError(f"holds more than {max_nodes} values")
        todo.extend((part, depth) for part in parts if isinstance(part, dict | list))
    return levels


def _count(parts: Collection[JsonValue], depth: int, levels: Levels) -> int:
    numbers = (part for part in parts if isinstance(part, int | float) and not _TINY <= abs(part) <= MAX_SAFE_INTEGER)
    more = sum(_bits(number) // _BITS_OF_NODE for number in numbers)
    levels.add(depth, len(parts) + more, sum(len(part) for part in parts if isinstance(part, str)))
    if not all(math.isfinite(part) for part in parts if isinstance(part, float)):
        raise SchemaError("holds a number that is not finite")
    return len(parts)


def _bits(number: float) -> int:
    return number.bit_length() if isinstance(number, int) else abs(math.frexp(number)[1])


def _comparisons(items: Sequence[JsonValue]) -> int:
    """The engine hashes items, but lists that differ only in brackets have one hash, and so have large integers."""
    kinds = set(map(type, items))
    if int in kinds and any(abs(item) > MAX_SAFE_INTEGER for item in items if type(item) is int):
        return _HASHED + _LARGE_INTEGER * len(items)
    return _HASHED + (_COMPARED * len(items) if dict in kinds or list in kinds else 0)
