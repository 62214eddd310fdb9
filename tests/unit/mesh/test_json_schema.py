"""Schemas of tenants: what is refused, and what bounds a check of what is accepted."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import (
    Draft3Validator,
    Draft4Validator,
    Draft6Validator,
    Draft7Validator,
    Draft201909Validator,
    Draft202012Validator,
)

from mesh import json_schema
from mesh.json_schema import MAX_SCHEMA_BYTES, MAX_VALUE_DEPTH, SchemaError, compile_schema, pattern_weight
from mesh.json_schema_graph import KEYWORDS, SchemaGraph
from mesh.json_size import Levels, measure

if TYPE_CHECKING:
    from pydantic import JsonValue

DRAFTS = (Draft3Validator, Draft4Validator, Draft6Validator, Draft7Validator, Draft201909Validator)
KEYWORDS_OF_DRAFTS = {name for draft in (*DRAFTS, Draft202012Validator) for name in draft.VALIDATORS}
TREE = {"$defs": {"node": {"properties": {"next": {"$ref": "#/$defs/node"}}}}, "$ref": "#/$defs/node"}


def nested(depth: int) -> object:
    """A list in a list, so many times."""
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


def doubling(count: int) -> dict[str, object]:
    """Each definition refers twice to the one before."""
    definitions: dict[str, object] = {"d0": {"type": "integer"}}
    for place in range(1, count):
        definitions[f"d{place}"] = {"allOf": [{"$ref": f"#/$defs/d{place - 1}"}] * 2}
    return {"$defs": definitions, "$ref": f"#/$defs/d{count - 1}"}


def same_leaves(count: int) -> list[object]:
    """Lists that differ only in their brackets."""
    return [[[1] if number >> place & 1 else 1 for place in range(10)] for number in range(count)]


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"$ref": "http://169.254.169.254/latest"}, "local references"),
        ({"$ref": "other.json#/a"}, "local references"),
        ({"$ref": "file:///etc/passwd"}, "local references"),
        ({"$ref": 5}, "local references"),
        ({"$ref": "#anchor"}, "no subschema"),
        ({"$ref": "#/$defs/absent"}, "no subschema"),
        ({"const": {"$id": "http://a/"}, "items": {"$ref": "#/const"}}, "no subschema"),
        ({"items": {"$id": "http://169.254.169.254/"}}, r"\$id"),
        ({"$dynamicRef": "#a"}, r"\$dynamicRef"),
        ({"$dynamicAnchor": "a"}, r"\$dynamicAnchor"),
        ({"$anchor": "a"}, r"\$anchor"),
        ({"dependencies": {"a": ["b"]}}, "must not use dependencies"),
        ({"properties": {"x": {"dependencies": {"a": {"$ref": "http://a/"}}}}}, "must not use dependencies"),
        ({"$defs": {"a": {"$schema": "http://a/"}}}, r"\$schema"),
        ({"$ref": "#"}, "refers to itself"),
        ({"anyOf": [{"not": {"$ref": "#"}}]}, "refers to itself"),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, "refers to itself"),
        (doubling(24), "multiply"),
        ({"$defs": {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(99)} | {"d99": True}}, "chains"),
        ({"pattern": "("}, "pattern"),
        ({"pattern": "(?=a)b"}, "pattern"),
        ({"pattern": r"(a)\1"}, "pattern"),
        ({"pattern": "(a{1000}){1000}"}, "pattern"),
        ({"patternProperties": {f"^{n}": True for n in range(65)}}, "more than 64 patterns"),
        ({"properties": {f"p{n}": {"pattern": "^.{1,200}$"} for n in range(3)}}, "too large together"),
        ({"patternProperties": {f"^{n}.{{1,200}}$": True for n in range(3)}}, "too large together"),
        ({"type": "no such type"}, "type"),
        ({"properties": 5}, "properties"),
        ({"maximum": float("inf")}, "finite"),
        ({"const": nested(40)}, "deeper"),
        ({"description": "x" * MAX_SCHEMA_BYTES}, "bytes"),
        ({"enum": [*range(70_000)]}, "more than"),
    ],
)
def test_a_schema_that_cannot_be_bounded_is_refused(schema: dict[str, object], why: str) -> None:
    with pytest.raises(SchemaError, match=why):
        compile_schema(schema)  # type: ignore[arg-type]


def test_keywords_are_ordinary_words_where_no_schema_stands() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.com/x",
        "properties": {"$id": {"type": "string"}, "$ref": {"const": {"$ref": "http://a/"}}},
        "default": {"$ref": "http://a/", "$anchor": "a"},
    }
    checked = compile_schema(schema)  # type: ignore[arg-type]
    assert checked.first_error({"$id": "x", "$ref": {"$ref": "http://a/"}}) == ""
    assert "$id" in checked.first_error({"$id": 5})


@pytest.mark.parametrize("keyword", sorted(KEYWORDS_OF_DRAFTS - KEYWORDS))
def test_a_keyword_that_is_not_counted_is_refused_or_has_no_effect(keyword: str) -> None:
    """Of all drafts, since the engine acts on some keywords in drafts that no longer have them."""
    assert compile_schema({"prefixItems": [True], "allOf": [{}]}).first_error(5) == ""
    values: list[object] = [False, True, 1, "a", "integer", ["b"], [False], {"a": ["b"]}, {"a": False}, {"not": {}}]
    for value in values:
        try:
            checked = compile_schema({"prefixItems": [True], "allOf": [{keyword: value}]})  # type: ignore[dict-item]
        except SchemaError:
            continue
        for instance in ({"a": 1}, [1, 2], [], "a", 1, 1.5, None, True):
            assert checked.first_error(instance) == "", (value, instance)  # type: ignore[arg-type]


def test_the_engine_is_given_only_keywords_that_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []
    monkeypatch.setattr(json_schema, "_validator", lambda document, _: given.append(document))
    written = {"x-note": {"type": 5}, "nullable": True, "items": {"additionalItems": False, "title": "t"}}
    compile_schema(written)  # type: ignore[arg-type]
    assert given == [{"items": {"title": "t"}}]
    assert written["nullable"] is True


def test_a_reference_into_a_part_of_the_value_may_repeat() -> None:
    checked = compile_schema({"type": "object", "properties": {"next": {"$ref": "#"}}})
    assert checked.first_error({"next": {"next": {}}}) == ""
    assert checked.first_error({"next": {"next": 5}}) == 'next/next: the value is not of type "object"'


def test_escaped_references_are_found() -> None:
    checked = compile_schema({"$defs": {"a/b ~c": {"type": "integer"}}, "$ref": "#/$defs/a~1b%20~0c"})
    assert checked.first_error(1) == ""
    assert checked.first_error("1") != ""


def test_the_sentence_does_not_repeat_what_the_value_holds() -> None:
    checked = compile_schema({"properties": {"to": {"pattern": "^a"}}, "required": ["to"]})
    assert "jane" not in checked.first_error({"to": "jane.doe@example.com"})
    assert "to" in checked.first_error({})


def test_patterns_that_backtrack_elsewhere_run_in_linear_time() -> None:
    checked = compile_schema({"pattern": "^(a+)+$"})
    assert checked.first_error("a" * 20_000) == ""
    assert checked.first_error("a" * 20_000 + "b") != ""


def test_a_pattern_weighs_more_the_more_states_it_has() -> None:
    assert pattern_weight("^[a-z]+$") < pattern_weight("[01]*1[01]{50}x") < pattern_weight("[01]*1[01]{400}x")


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"items": {"allOf": [{"minimum": 0}] * 1000}}, [1] * 10_000),
        ({"items": {"enum": [{"a": n} for n in range(2000)]}}, [{"a": 1999}] * 10_000),
        ({"$defs": {"n": {"items": {"allOf": [{"$ref": "#/$defs/n"}] * 2}}}, "$ref": "#/$defs/n"}, nested(40)),
        ({"pattern": "[01]*1[01]{400}x"}, "".join(random.Random(1).choices("01", k=50_000))),
        ({"patternProperties": {"[01]*1[01]{400}x": False}}, {"0" * 50_000: 1}),
        ({"propertyNames": {"pattern": "[01]*1[01]{400}x"}}, {"0" * 50_000: 1}),
        ({"uniqueItems": True}, [10**30 + n for n in range(500)]),
        ({"items": {"uniqueItems": True}}, [same_leaves(500)]),
        ({"uniqueItems": True}, [{**{str(key): key for key in range(5000)}, "z": n} for n in range(7)]),
        ({"allOf": [{"uniqueItems": True}] * 200}, [*range(10_000)]),
        ({"allOf": [{"enum": [str(n) for n in range(11)]}] * 200}, "x" * 1_000_000),
    ],
)
def test_a_check_that_would_take_too_long_does_not_start(schema: dict[str, object], value: object) -> None:
    assert "too large" in compile_schema(schema).first_error(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value",
    [[*range(20_000)], [str(n) for n in range(20_000)], [{str(key): n for key in range(10)} for n in range(100)]],
    ids=["numbers", "texts", "objects"],
)
def test_equal_items_are_found_in_lists_of_usual_size(value: list[object]) -> None:
    checked = compile_schema({"uniqueItems": True})
    assert checked.first_error(value) == ""  # type: ignore[arg-type]
    assert "non-unique" in checked.first_error([*value, value[0]])  # type: ignore[list-item]


def test_threads_that_count_at_once_find_the_same_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    schema: dict[str, JsonValue] = {"items": {"items": {"enum": [*range(50)]}}}
    levels = measure([[1, 2], [3]], 8, 100)
    expected = SchemaGraph.from_schema(schema, pattern_weight).work(levels, 10_000)
    raced = SchemaGraph.from_schema(schema, pattern_weight)
    count, others = SchemaGraph._next_level, [True]

    def overtaken(graph: SchemaGraph, *known: object) -> object:
        if others.pop() if others else False:
            with ThreadPoolExecutor(1) as threads:
                threads.submit(raced.work, Levels([1], [0], [0]), 10_000).result()
        return count(graph, *known)  # type: ignore[arg-type]

    monkeypatch.setattr(SchemaGraph, "_next_level", overtaken)
    assert [raced.work(levels, 10_000) for _ in range(2)] == [expected] * 2


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (nested(MAX_VALUE_DEPTH + 1), "deeper"),
        ([1] * 200_000, "more than"),
        ([[]] * 40_000, "more than"),
        ({"a": [float("nan")]}, "finite"),
    ],
)
def test_a_value_without_bounds_does_not_fit(value: object, why: str) -> None:
    assert why in compile_schema({}).first_error(value)  # type: ignore[arg-type]


def test_the_reason_of_a_large_value_is_told_without_its_place() -> None:
    alternatives = {"oneOf": [{"type": "integer"}] * 2000}
    assert compile_schema(alternatives).first_error("x" * 400_000) == "it does not fit the schema"
    assert "oneOf" in compile_schema(alternatives).first_error("x")


def test_a_tree_is_counted_once_for_each_of_its_branches() -> None:
    branches = {"properties": {name: {"$ref": "#"} for name in ("left", "right", "up", "down")}}
    checked = compile_schema(branches)
    value: object = {}
    for _ in range(40):
        value = {"left": value, "right": {}}
    assert checked.first_error(value) == ""  # type: ignore[arg-type]


_SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "a", "ab", "é"])
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
)
_TYPES = st.sampled_from(["object", "array", "string", "integer", "null", "boolean", "number"])
_LEAVES = (
    st.booleans()
    | st.builds(lambda kind: {"type": kind}, _TYPES)
    | st.builds(lambda values: {"enum": values}, st.lists(_VALUES, min_size=1, max_size=3))
    | st.builds(lambda text: {"pattern": text}, st.sampled_from(["^a", "b$", "^$"]))
    | st.builds(lambda count: {"minItems": count, "maxProperties": count}, st.integers(0, 2))
    | st.builds(lambda name: {"dependentRequired": {"a": [name]}}, st.sampled_from("ab"))
    | st.just({"uniqueItems": True})
)


_WITHOUT_EFFECT = ("additionalItems", "contentSchema", "x-note")
"""Keywords of other drafts, annotations, and what is no keyword."""


def _combined(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return (
        st.builds(
            lambda key, parts: {key: parts},
            st.sampled_from(["allOf", "anyOf", "oneOf"]),
            st.lists(inner, min_size=1, max_size=3),
        )
        | st.builds(
            lambda key, part: {key: part},
            st.sampled_from(["not", "items", "contains", "additionalProperties", "propertyNames", *_WITHOUT_EFFECT]),
            inner,
        )
        | st.builds(
            lambda key, part: {key: {"a": part}}, st.sampled_from(["dependentSchemas", "patternProperties"]), inner
        )
        | st.builds(lambda part, rest: {"prefixItems": [part], "items": rest}, inner, inner)
        | st.builds(lambda test, one, other: {"if": test, "then": one, "else": other}, inner, inner, inner)
        | st.builds(lambda part, rest: {"properties": {"a": part}, "unevaluatedProperties": rest}, inner, inner)
    )


@given(schema=st.recursive(_LEAVES, _combined, max_leaves=8), value=_VALUES)
def test_answers_agree_with_the_reference_implementation(schema: object, value: object) -> None:
    document = {"allOf": [schema]}
    expected = Draft202012Validator(document).is_valid(json.loads(json.dumps(value)))  # type: ignore[arg-type]
    assert (compile_schema(document).first_error(value) == "") == expected  # type: ignore[arg-type]
