"""Numbers of JSON: which come back whole, and what it counts as to check numbers that take long to compute with."""

from __future__ import annotations

import pytest
from google.protobuf.struct_pb2 import Struct

from mesh import json_schema
from mesh.errors import SomaError
from mesh.json_numbers import MAX_SAFE_INTEGER, int_if_integral
from mesh.json_schema import BoundedValue, SchemaError, compile_schema
from mesh.rpc.wellknown import json_object
from svc_executor.rpc.convert import plan_from_proto

ADMITTED = 500
"""Most values that fractions are made of in one check: 28 to 75 us each."""


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (3.0, 3),
        (-3.0, -3),
        (2.5, 2.5),
        (MAX_SAFE_INTEGER - 1.0, MAX_SAFE_INTEGER - 1),
        (float(MAX_SAFE_INTEGER), float(MAX_SAFE_INTEGER)),
        (-1e308, -1e308),
    ],
)
def test_a_whole_number_is_an_int_where_a_double_tells_all_apart(number: float, expected: float) -> None:
    found = int_if_integral(number)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("read", [json_object, plan_from_proto])
def test_large_numbers_of_a_message_stay_floats(read: object) -> None:
    message = Struct()
    message.update({"x": [1e308, 2.0], "y": {"z": 1e308}})
    found = read(message)  # type: ignore[operator]
    assert [type(item) for item in found["x"]] == [float, int]
    assert type(found["y"]["z"]) is float


@pytest.mark.parametrize("divisor", [5e-324, 1e-300, 0.01, 2.5, 1e308, 2**60])
def test_few_values_are_admitted_where_the_engine_makes_fractions(divisor: float) -> None:
    checked = compile_schema({"items": {"allOf": [{"multipleOf": divisor}] * 4}})
    assert "too large" in checked.first_error([0] * (ADMITTED // 4))
    assert checked.first_error([0] * (ADMITTED // 5)) == ""


def test_integers_divide_as_many_values_as_other_keywords_look_at() -> None:
    checked = compile_schema({"items": {"multipleOf": 5}})
    assert checked.first_error([5] * 50_000) == ""


@pytest.mark.parametrize("number", [10**308, 1e308, -1e308, 1e-300])
def test_a_number_of_many_bits_counts_as_many_values(number: float) -> None:
    checked = compile_schema({"items": {"type": "number"}})
    assert "too large" in checked.first_error([number] * 2_000)
    assert checked.first_error([number] * 1_000) == ""


def test_numbers_of_usual_size_count_as_one_value_or_a_few() -> None:
    checked = compile_schema({"items": {"type": "number", "minimum": 0}})
    assert checked.first_error([1_764_473_000_000_000_000.0] * 15_000) == ""
    assert checked.first_error([0.1, 0] * 45_000) == ""


@pytest.mark.parametrize("limit", [0.1, 1e308, 2**40])
def test_values_are_compared_with_fractions_less_often(limit: float) -> None:
    checked = compile_schema({"items": {"minimum": limit}})
    assert "too large" in checked.first_error([limit] * 30_000)


def test_the_engine_is_given_large_integers_of_a_schema_as_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []
    monkeypatch.setattr(json_schema, "_validator", lambda document, _: given.append(document))
    compile_schema({"maximum": 10**308, "minimum": 5, "enum": [[2**53]]})
    assert repr(given) == "[{'maximum': 1e+308, 'minimum': 5, 'enum': [[9007199254740992.0]]}]"


def test_an_integer_that_no_double_holds_is_refused() -> None:
    with pytest.raises(SchemaError, match="too large"):
        compile_schema({"maximum": 10**309})


def test_what_does_not_fit_is_named_within_one_bound_for_all_schemas_of_a_value() -> None:
    bounded = BoundedValue({"x": "a", "y": ["b"] * 20_000})
    schemas = [compile_schema({"properties": {"x": {"type": "integer"}}}) for _ in range(20)]
    errors = [schema.first_error_in(bounded) for schema in schemas]
    assert errors[0] == 'x: the value is not of type "integer"'
    assert errors[-1] == "it does not fit the schema"
    assert schemas[-1].first_error_in(bounded.with_own_budget()) == errors[0]


def test_a_number_that_is_not_finite_is_refused_by_the_name_of_its_field() -> None:
    message = Struct()
    message.fields["x"].number_value = float("nan")
    with pytest.raises(SomaError) as refused:
        plan_from_proto(message)
    assert [violation.field for violation in refused.value.fields] == ["plan"]
