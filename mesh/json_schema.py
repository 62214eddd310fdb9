"""JSON Schemas (2020-12) of tenants: compiled and checked within bounds that hold for any schema and any value.

A schema is a program that its author chooses. Nothing is ever fetched for it, patterns run in linear time, and the
work of a check is bounded before it starts: `SchemaGraph.work` counts how often parts of the schema can be evaluated
on one value at each depth, and a value for which the product is above `MAX_WORK` does not fit, with that as its
reason. The engine keeps the interpreter lock, so this bound is also the longest pause that a check can cause. To
describe an error, the engine evaluates again and copies the value, which has a bound of the same size.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import jsonschema_rs

from mesh.json_numbers import int_if_integral
from mesh.json_schema_graph import SchemaGraph
from mesh.json_size import Levels, SchemaError, measure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

MAX_SCHEMA_BYTES = 64 * 1024
MAX_SCHEMA_DEPTH = 32
MAX_VALUE_DEPTH = 64
MAX_VALUE_NODES = 100_000
MAX_WORK = 500_000
"""Evaluations of one keyword on one value, 10 to 80 ns each; `pattern_weight` says how many a character counts as."""
MAX_ERROR_WORK = 500_000
"""Evaluations that describing an error may take, beside those of finding out whether a value fits."""
_COPIED_NODE = 2
_COPIED_CHARACTER = 1 / 100
"""What it counts as to copy a node and a character: the engine copies a value for each alternative that fails."""
MAX_TEXT = 300
_PATTERN_SIZES = tuple(1 << power for power in range(8, 19))
"""Sizes in bytes that a compiled pattern may have, up to 256 KiB."""
_BYTES_OF_WEIGHT = 256
_IGNORED = frozenset({"$id", "$schema"})
"""Of the root alone: names of the document, which change nothing where there is no other document."""

__all__ = ["BoundedValue", "CompiledSchema", "SchemaError", "compile_schema"]


class BoundedValue:
    """A value that is checked against several schemas, within `MAX_WORK` evaluations for all of them together.

    Errors are described within `MAX_ERROR_WORK`, for all of them together as well.
    """

    def __init__(self, value: JsonValue) -> None:
        self.value = value
        self._remaining: float = MAX_WORK
        self._left_for_error: float = MAX_ERROR_WORK
        self._levels: Levels | SchemaError | None = None

    def levels(self) -> Levels:
        """Its size at each depth; SchemaError for a value without bounds."""
        size = self._size()
        if isinstance(size, SchemaError):
            raise SchemaError(*size.args)
        return size

    def with_own_budget(self) -> BoundedValue:
        """The same value with evaluations of its own; its size is counted once."""
        copy = BoundedValue(self.value)
        copy._levels = self._size()
        return copy

    def _size(self) -> Levels | SchemaError:
        if self._levels is None:
            try:
                self._levels = measure(self.value, MAX_VALUE_DEPTH, MAX_VALUE_NODES)
            except SchemaError as error:
                self._levels = error
        return self._levels

    def take(self, work: float) -> bool:
        """Takes evaluations from those that are left; False, and takes none, where they do not suffice."""
        if work > self._remaining:
            return False
        self._remaining -= work
        return True

    def take_for_error(self, work: float) -> bool:
        """The same for describing an error."""
        if work > self._left_for_error:
            return False
        self._left_for_error -= work
        return True


class CompiledSchema:
    """A schema ready to check values."""

    def __init__(self, validator: jsonschema_rs.Draft202012Validator, graph: SchemaGraph) -> None:
        self._validator = validator
        self._graph = graph

    def first_error(self, value: JsonValue) -> str:
        """One sentence on the first thing in the value that does not fit; "" when all fits.

        The sentence names places and expectations, not what the value holds there. Nothing else runs in the process
        for 50 ms at most, and a second time where there is an error.
        """
        return self.first_error_in(BoundedValue(value))

    def first_error_in(self, bounded: BoundedValue) -> str:
        """The same, taking the work from what the value has left; one for which it does not suffice does not fit."""
        try:
            levels = bounded.levels()
            work = self._graph.work(levels, MAX_WORK)
            if work > MAX_WORK:
                return "it is too large to be checked against this schema"
            if not bounded.take(work):
                return "it is too large to be checked against this schema after the others"
            return "" if self._validator.is_valid(bounded.value) else self._error(bounded, levels, work)
        except (ValueError, OverflowError) as error:
            return str(error)[:MAX_TEXT]

    def _error(self, bounded: BoundedValue, levels: Levels, work: float) -> str:
        copy = _COPIED_NODE * sum(levels.nodes) + _COPIED_CHARACTER * sum(levels.chars)
        if not bounded.take_for_error(work + copy * self._graph.work_at_each(len(levels.nodes))):
            return "it does not fit the schema"
        try:
            self._validator.validate(bounded.value)
        except jsonschema_rs.ValidationError as error:
            return _sentence(error)
        return ""


def compile_schema(schema: Mapping[str, JsonValue]) -> CompiledSchema:
    """Compiles a schema of at most 64 KiB and 32 levels whose references are all local; SchemaError for any other."""
    document = _bounded_copy(schema)
    graph = SchemaGraph.from_schema(document, pattern_weight)
    try:
        validator = _validator(document, _PATTERN_SIZES[-1])
    except jsonschema_rs.ValidationError as error:
        raise SchemaError(_sentence(error)) from None
    except (ValueError, OverflowError, jsonschema_rs.ReferencingError) as error:
        raise SchemaError(str(error)[:MAX_TEXT]) from None
    if graph.work(Levels([1], [0], [0]), MAX_WORK) > MAX_WORK:
        raise SchemaError("its references and combinations multiply beyond what can be checked")
    return CompiledSchema(validator, graph)


def pattern_weight(pattern: str) -> int:
    """What one character costs that is matched by the pattern: it grows with the size of the compiled pattern.

    Matching is linear in the text, but each character can visit all states of the pattern (3 us for 32 KiB).
    """
    for size in _PATTERN_SIZES:
        try:
            _validator({"pattern": pattern}, size)
        except jsonschema_rs.ValidationError:
            continue
        return size // _BYTES_OF_WEIGHT
    raise SchemaError(f"has the pattern {pattern[:100]!r}, which is invalid, uses lookaround or is too large")


def _validator(document: dict[str, JsonValue], pattern_size: int) -> jsonschema_rs.Draft202012Validator:
    patterns = jsonschema_rs.RegexOptions(size_limit=pattern_size, dfa_size_limit=_PATTERN_SIZES[-1])
    return jsonschema_rs.Draft202012Validator(
        document, validate_formats=False, offline=True, mask="the value", pattern_options=patterns
    )


def _bounded_copy(schema: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        measure(dict(schema), MAX_SCHEMA_DEPTH, MAX_SCHEMA_BYTES)
        text = json.dumps(dict(schema), ensure_ascii=False, separators=(",", ":"))
        size = len(text.encode())
    except (TypeError, ValueError) as error:
        raise SchemaError(str(error)[:MAX_TEXT]) from None
    if size > MAX_SCHEMA_BYTES:
        raise SchemaError(f"has {size} bytes as JSON, at most {MAX_SCHEMA_BYTES} are possible")
    copy: dict[str, JsonValue] = json.loads(text, parse_int=_integer)
    return {name: value for name, value in copy.items() if name not in _IGNORED}


def _integer(digits: str) -> int | float:
    """An integer of a schema as a Struct has it: one from `MAX_SAFE_INTEGER` on is a double."""
    number = float(digits)
    if not math.isfinite(number):
        raise SchemaError("holds a number that is too large")
    return int_if_integral(number)


def _sentence(error: jsonschema_rs.ValidationError) -> str:
    path = "/".join(str(part) for part in error.instance_path)
    text = error.message.splitlines()[0] if error.message else "does not fit"
    return (f"{path}: {text}" if path else text)[:MAX_TEXT]
