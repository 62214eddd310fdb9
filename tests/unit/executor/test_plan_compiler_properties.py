"""Of any plan whatever: it compiles when it should, and what is wrong is told at its place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from jsonschema import Draft202012Validator

from svc_executor.domain.compiler import PlanRefusedError
from tests.unit.executor.plans import COMPILER, MEANING, documents, graphs
from tests.unit.executor.rig import SCHEMA, plan, task

if TYPE_CHECKING:
    from soma_providers.port import JsonValue
    from svc_executor.domain.task_dsl import PlanError


VALIDATOR = Draft202012Validator(json.loads(SCHEMA.read_text()))


@given(graphs)
def test_a_plan_compiles_exactly_when_its_graph_has_an_order(graph: dict[str, list[str]]) -> None:
    document = plan(*(task(name, depends_on=list(needed)) for name, needed in graph.items()))
    try:
        result = COMPILER.compile(document)
    except PlanRefusedError as refused:
        codes = {error.code for error in refused.errors}
        assert codes <= {"DANGLING_REFERENCE", "SELF_REFERENCE", "CIRCULAR_REFERENCE"}
        assert _has_no_order(graph) or "DANGLING_REFERENCE" in codes
        return
    place = {name: index for index, layer in enumerate(result.layers) for name in layer}
    assert sorted(place) == sorted(graph)
    for name, needed in graph.items():
        assert place[name] == max((place[other] + 1 for other in needed), default=0)


def _has_no_order(graph: dict[str, list[str]]) -> bool:
    left = dict(graph)
    while ready := [name for name, needed in left.items() if not set(needed) & set(left)]:
        for name in ready:
            del left[name]
    return bool(left)


@settings(max_examples=300, deadline=None)
@given(documents)
def test_the_published_schema_and_the_compiler_agree(document: dict[str, JsonValue]) -> None:
    """What the schema refuses, the compiler refuses at its place; what it accepts is refused for its meaning alone."""
    try:
        COMPILER.compile(document)
        codes: set[str] = set()
    except PlanRefusedError as refused:
        codes = {error.code for error in refused.errors}
    assert VALIDATOR.is_valid(document) == (not codes - MEANING)


@settings(max_examples=200, deadline=None)
@given(documents)
@example({"version": "0.9"})
def test_every_error_points_to_a_place_that_exists_or_is_missing(document: dict[str, JsonValue]) -> None:
    errors = _errors(document)
    assert errors or (errors is None and VALIDATOR.is_valid(document))
    for error in errors or ():
        assert error.message
        assert _reaches(document, error.pointer) or error.code == "MISSING_FIELD"


def _errors(document: dict[str, JsonValue]) -> tuple[PlanError, ...] | None:
    """What a document is refused for; none when it is a plan."""
    try:
        COMPILER.compile(document)
    except PlanRefusedError as refused:
        return refused.errors
    return None


def _reaches(value: object, pointer: str) -> bool:
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return False
    return True
