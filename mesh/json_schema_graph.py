"""The subschemas of a JSON Schema and how they lead to each other, to bound the work of a check before it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from mesh.json_size import BYTES_OF_NODE, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pydantic import JsonValue

    from mesh.json_size import Levels

MAX_PATTERNS = 64
MAX_PATTERN_WEIGHT = 2_048
"""What the patterns of a schema may weigh together: 512 KiB once compiled."""
MAX_CHAIN = 64
"""Subschemas that may apply to the same value one inside the other."""

_ONE = frozenset({"not", "if", "then", "else"})
_LIST = frozenset({"allOf", "anyOf", "oneOf"})
_CHILD = frozenset(
    {"items", "contains", "additionalProperties", "propertyNames", "unevaluatedItems", "unevaluatedProperties"}
)
_NAMED = frozenset({"properties", "patternProperties"})
_STORED = frozenset({"$defs", "definitions"})
_ASSERTIONS = frozenset(
    {
        *("$ref", "type", "const", "enum", "required", "dependentRequired", "pattern", "minLength", "maxLength"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "uniqueItems"),
        *("minItems", "maxItems", "minContains", "maxContains", "minProperties", "maxProperties"),
    }
)
_ANNOTATIONS = frozenset(
    {
        *("$comment", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "format"),
        *("contentEncoding", "contentMediaType", "contentSchema"),
    }
)
KEYWORDS = frozenset(
    {*_ONE, *_LIST, *_CHILD, *_NAMED, *_STORED, *_ASSERTIONS, *_ANNOTATIONS, "prefixItems", "dependentSchemas"}
)
"""Keywords whose work is counted, and those that make no work."""
_LOCAL = "only references of the form #/… are possible"
_REFUSED = {
    **dict.fromkeys(("$id", "$schema", "$anchor", "$dynamicRef", "$dynamicAnchor", "$vocabulary"), _LOCAL),
    **dict.fromkeys(("$recursiveRef", "$recursiveAnchor"), _LOCAL),
    "dependencies": "dependentRequired and dependentSchemas took its place",
}
"""Keywords that the engine acts on, in some draft or in all, and that are not counted; each with what is possible."""
_MANY = 10
"""Up to so many, the values of an enum are compared one by one; more texts are hashed, and the value's text is too."""
_HASHED_CHARACTER = 1 / 256
_LIMITS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_SMALL = 1 << 31
"""Limits that are integers up to this are compared, and divided by, at once."""
_EXACTLY_COMPARED = 64
"""Evaluations that comparing a number with any other limit counts as: the engine makes fractions, in 1 to 5 us."""
_DIVIDED = 1_000
"""Evaluations that `multipleOf` of a fraction counts as: 3 to 75 us."""
_Pointer = tuple[str, ...]
_Level = tuple[list[float], ...]
"""Evaluations, matches of a character and searches for equal items, for each subschema."""


@dataclass
class _Node:
    """One subschema: what it costs itself, a value and a character of it, and which others it leads to.

    `searches` says how often it looks for equal items in a list.

    `in_place` apply to the same value; `child`, `named`, `positions` and `patterned` to its parts.
    """

    cost: int = 1
    patterns: float = 0
    searches: int = 0
    in_place: list[int] = field(default_factory=list)
    child: dict[str, int] = field(default_factory=dict)
    named: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    patterned: list[int] = field(default_factory=list)
    references: list[str] = field(default_factory=list)


class SchemaGraph:
    """The graph of a schema whose references are all local and never loop on one value."""

    def __init__(self, nodes: list[_Node], order: list[int]) -> None:
        self._nodes = nodes
        self._order = order
        self._levels: dict[int, _Level] = {}

    @classmethod
    def from_schema(cls, schema: dict[str, JsonValue], pattern_weight: Callable[[str], int]) -> SchemaGraph:
        """Reads a schema of bounded depth; SchemaError when it holds what cannot be bounded.

        Keywords that are not counted are deleted from the schema: in draft 2020-12 they have no meaning, and so they
        have none in any release of the engine.
        `pattern_weight` says how many evaluations the match of one character counts as.
        """
        nodes = _Reader(pattern_weight).read(schema)
        return cls(nodes, _innermost_first(nodes))

    def work(self, levels: Levels, stop_at: int) -> float:
        """An upper bound of the evaluations for a value of this size; counting stops above `stop_at`."""
        total, rest = 0.0, levels.size() / BYTES_OF_NODE
        for depth, (nodes, chars, comparisons) in enumerate(
            zip(levels.nodes, levels.chars, levels.comparisons, strict=True)
        ):
            evaluations, matches, searches = (counts[0] for counts in self._level(depth, stop_at + 1))
            total += nodes * evaluations + chars * matches + comparisons * searches * rest
            if total > stop_at:
                break
            rest -= nodes
        return total

    def work_at_each(self, depths: int) -> float:
        """The evaluations on one node at each depth, added up, of those that `work` counted before."""
        return sum(self._levels[depth][0][0] for depth in range(depths))

    def _level(self, depth: int, limit: int) -> _Level:
        for place in range(len(self._levels), depth + 1):
            # Each has its place: two threads may find the same one, at the same time.
            self._levels[place] = self._next_level(self._levels.get(place - 1), limit)
        return self._levels[depth]

    def _next_level(self, before: _Level | None, limit: int) -> _Level:
        """For each subschema, what is done with one value so many levels below where it applies."""
        level = tuple([0.0] * len(self._nodes) for _ in range(3))
        for index in self._order:
            node = self._nodes[index]
            again = 2 if _evaluates_again(node) else 1
            own = (node.cost, node.patterns, node.searches) if before is None else (0, 0, 0)
            for kind, result in enumerate(level):
                count = own[kind] + sum(result[other] for other in node.in_place)
                if before is not None:
                    count += _below(node, before[kind])
                result[index] = min(limit, count * again)
        return level


def _evaluates_again(node: _Node) -> bool:
    """Whether it looks a second time at what its neighbours evaluated."""
    return "unevaluatedItems" in node.child or "unevaluatedProperties" in node.child


def _below(node: _Node, counts: Sequence[float]) -> float:
    """What can come to one part of a value: a property is named once, an item has one position."""
    child = {name: counts[index] for name, index in node.child.items()}
    named = max((counts[index] for index in node.named), default=0) + sum(counts[index] for index in node.patterned)
    property_ = max(named, child.pop("additionalProperties", 0))
    item = max(max((counts[index] for index in node.positions), default=0), child.pop("items", 0))
    return property_ + item + sum(child.values())


class _Reader:
    def __init__(self, pattern_weight: Callable[[str], int]) -> None:
        self._weight = pattern_weight
        self._nodes: list[_Node] = []
        self._at: dict[_Pointer, int] = {}
        self._patterns = self._pattern_weight = 0

    def read(self, schema: dict[str, JsonValue]) -> list[_Node]:
        self._add(schema, ())
        for node in self._nodes:
            node.in_place += [self._resolved(reference) for reference in node.references]
        return self._nodes

    def _add(self, schema: JsonValue, at: _Pointer) -> int:
        index = self._at[at] = len(self._nodes)
        node = _Node()
        self._nodes.append(node)
        if not isinstance(schema, dict):
            return index
        for keyword, value in [*schema.items()]:
            if keyword in _REFUSED:
                raise SchemaError(f"must not use {keyword}: {_REFUSED[keyword]}")
            if keyword not in KEYWORDS:
                del schema[keyword]
            elif not self._applicator(node, keyword, value, (*at, keyword)):
                self._assertion(node, keyword, value)
        return index

    def _applicator(self, node: _Node, keyword: str, value: JsonValue, at: _Pointer) -> bool:
        """Adds the subschemas of a keyword; False when it has none."""
        if keyword in _ONE:
            node.in_place.append(self._add(value, at))
        elif keyword in _CHILD:
            node.child[keyword] = self._add(value, at)
        elif keyword in _LIST or keyword == "prefixItems":
            (node.positions if keyword == "prefixItems" else node.in_place).extend(self._all(value, at))
        elif keyword == "dependentSchemas":
            node.in_place.extend(self._all(value, at))
        elif keyword in _NAMED:
            found = self._all(value, at)
            (node.named if keyword == "properties" else node.patterned).extend(found)
            if keyword == "patternProperties" and isinstance(value, dict):
                self._count(node, list(value))
        elif keyword in _STORED:
            self._all(value, at)
        else:
            return False
        return True

    def _assertion(self, node: _Node, keyword: str, value: JsonValue) -> None:
        if keyword == "$ref":
            if not isinstance(value, str) or not value.startswith("#"):
                raise SchemaError("must hold only local references, of the form #/…")
            node.references.append(value)
        elif keyword == "pattern" and isinstance(value, str):
            self._count(node, [value])
        else:
            node.cost += 1 + _size(value) + _arithmetic(keyword, value)
            node.searches += keyword == "uniqueItems" and value is True
            node.patterns += _HASHED_CHARACTER if keyword == "enum" and _size(value) > _MANY else 0

    def _count(self, node: _Node, patterns: Sequence[str]) -> None:
        self._patterns += len(patterns)
        if self._patterns > MAX_PATTERNS:
            raise SchemaError(f"has more than {MAX_PATTERNS} patterns")
        for pattern in patterns:
            weight = self._weight(pattern)
            node.patterns += weight
            self._pattern_weight += weight
            if self._pattern_weight > MAX_PATTERN_WEIGHT:
                raise SchemaError("has patterns that are too large together")

    def _all(self, value: JsonValue, at: _Pointer) -> list[int]:
        if isinstance(value, dict):
            return [self._add(part, (*at, name)) for name, part in value.items()]
        if isinstance(value, list):
            return [self._add(part, (*at, str(place))) for place, part in enumerate(value)]
        return []

    def _resolved(self, reference: str) -> int:
        parts = unquote(reference[1:]).split("/")
        pointer = tuple(part.replace("~1", "/").replace("~0", "~") for part in parts[1:])
        if parts[0] or pointer not in self._at:
            raise SchemaError(f"has the reference {reference[:100]!r}, which is no subschema of it")
        return self._at[pointer]


def _size(value: JsonValue) -> int:
    """How many values there are in a value, itself left out."""
    if isinstance(value, dict):
        return sum(1 + _size(part) for part in value.values())
    return sum(1 + _size(part) for part in value) if isinstance(value, list) else 0


def _arithmetic(keyword: str, limit: JsonValue) -> int:
    """What a limit of numbers costs beside an evaluation."""
    if keyword not in _LIMITS or (isinstance(limit, int) and abs(limit) <= _SMALL):
        return 0
    return _DIVIDED if keyword == "multipleOf" and not isinstance(limit, int) else _EXACTLY_COMPARED


def _innermost_first(nodes: list[_Node]) -> list[int]:
    """Subschemas ordered so that what applies in place comes before what it is applied by."""
    heights: dict[int, int] = {}
    for start in range(len(nodes)):
        for index in _post_order(nodes, start, heights):
            heights[index] = 1 + max((heights[other] for other in nodes[index].in_place), default=0)
            if heights[index] > MAX_CHAIN:
                raise SchemaError(f"chains more than {MAX_CHAIN} subschemas on one value")
    return list(heights)


def _post_order(nodes: list[_Node], start: int, done: dict[int, int]) -> Iterator[int]:
    path, stack = {start}, [(start, iter(nodes[start].in_place))]
    while stack:
        index, rest = stack[-1]
        following = next((other for other in rest if other not in done), None)
        if following is None:
            stack.pop()
            path.discard(index)
            if index not in done:
                yield index
        elif following in path:
            raise SchemaError("refers to itself without going into a part of the value")
        else:
            path.add(following)
            stack.append((following, iter(nodes[following].in_place)))
