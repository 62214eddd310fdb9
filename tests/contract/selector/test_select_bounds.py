"""No number and no length of a request is more than the selector can bear."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import protovalidate
import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import Reason, SomaError
from mesh.json_schema import compile_schema
from svc_selector.domain.model import Prices, Units
from svc_selector.domain.pricing import greatest_cost_micro_usd
from svc_selector.rpc.convert.params import MAX_VALUES, params_from_proto
from svc_selector.rpc.convert.requests import selection_request_from_proto
from tests.contract.selector.serving import request, serving
from tests.unit.selector.selecting import D2, candidate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soma.selector.v1.selection_pb2 import SelectRequest

YEAR_S = 31_622_400
BOUNDS: Mapping[str, float] = {
    "requirements.duration_seconds": YEAR_S,
    "estimated_units.seconds": YEAR_S,
    "estimated_units.calls": 10**6,
    "estimated_units.images": 10**6,
    "estimated_units.input_tokens": 10**9,
    "estimated_units.output_tokens": 10**9,
    "subject_context.attempt": 10**6,
    "max_cost_micro_usd": 10**15,
}
DOUBLES = frozenset({"requirements.duration_seconds", "estimated_units.seconds"})
ABSURD = (math.inf, -math.inf, math.nan, -1.0, 1e308)
INT64 = 1 << 63
VALIDATOR = protovalidate.Validator()
DEAREST = Prices(*[10**9] * 5, per_million=Prices(*[10**12] * 5))


def put(made: SelectRequest, path: str, value: float) -> None:
    *parents, field = path.split(".")
    target = made
    for parent in parents:
        target = getattr(target, parent)
    setattr(target, field, value)


def refused_fields(made: SelectRequest) -> set[str]:
    violations = VALIDATOR.collect_violations(made)
    return {".".join(step.field_name for step in found.proto.field.elements) for found in violations}


@pytest.mark.parametrize("value", ABSURD, ids=repr)
@pytest.mark.parametrize("path", sorted(DOUBLES))
async def test_a_number_that_is_absurd_is_refused_by_name(path: str, value: float) -> None:
    async with serving([D2]) as selector:
        made = request()
        put(made, path, value)
        with pytest.raises(SomaError) as refused:
            await selector.stub.Select(made)
    assert refused.value.reason is Reason.INVALID_ARGUMENT
    assert [violation.field for violation in refused.value.fields][:1] == [path]


def numbers(path: str) -> st.SearchStrategy[float]:
    if path in DOUBLES:
        return st.floats() | st.sampled_from([*ABSURD, YEAR_S])
    largest = (1 << 32) - 1 if BOUNDS[path] < 1 << 32 else INT64 - 1
    return st.integers(0, largest) | st.integers(0, int(BOUNDS[path]))


@settings(deadline=None)
@given(st.fixed_dictionaries({}, optional={path: numbers(path) for path in BOUNDS}))
async def test_every_number_is_refused_by_name_or_priced_exactly(values: dict[str, float]) -> None:
    made = request()
    for path, value in values.items():
        put(made, path, value)
    bad = {path for path, value in values.items() if not 0 <= value <= BOUNDS[path]}
    assert refused_fields(made) == bad
    if not bad:
        selection_request = await selection_request_from_proto(made)
        assert 0 <= greatest_cost_micro_usd(DEAREST, selection_request.units) < INT64


@pytest.mark.parametrize("seconds", [math.inf, math.nan, -1.0], ids=repr)
def test_nothing_is_priced_by_units_that_cannot_be(seconds: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Units(seconds=seconds)


@pytest.mark.parametrize("number", [math.inf, math.nan], ids=repr)
async def test_a_parameter_that_is_not_finite_is_refused_by_name(number: float) -> None:
    async with serving([D2]) as selector:
        made = request()
        made.requirements.params.fields["x"].number_value = number
        with pytest.raises(SomaError) as refused:
            await selector.stub.Select(made)
    assert [violation.field for violation in refused.value.fields] == ["requirements.params"]


def nested(values: int) -> Struct:
    """Parameters of so many values in objects within lists."""
    made = Struct()
    made.update({"x": [{"y": 1}] * ((values - 1) // 2)})
    return made


@pytest.mark.parametrize(("values", "fits"), [(MAX_VALUES - 1, True), (MAX_VALUES + 1, False), (400_001, False)])
async def test_parameters_of_too_many_values_are_refused_by_name(values: int, *, fits: bool) -> None:
    made = request()
    made.requirements.params.CopyFrom(nested(values))
    if fits:
        assert (await params_from_proto(made.requirements)) is not None
        return
    with pytest.raises(SomaError) as refused:
        await params_from_proto(made.requirements)
    assert refused.value.reason is Reason.INVALID_ARGUMENT
    assert [violation.field for violation in refused.value.fields] == ["requirements.params"]


@pytest.mark.parametrize("formats", [[""], ["x" * 33], ["x" * 1_000_000]], ids=len)
def test_a_format_that_no_capability_can_have_is_refused(formats: list[str]) -> None:
    made = request()
    made.requirements.formats.extend(formats)
    assert refused_fields(made) == {"requirements.formats"}


async def test_long_parameters_are_kept_as_their_digest_and_size() -> None:
    params = Struct()
    params.update({"x": "a" * 120_000})
    async with serving([D2]) as selector:
        made = request()
        made.requirements.params.CopyFrom(params)
        answer = await selector.stub.Select(made)
        [stored] = await selector.harness.selector.list("acme", "", 1, "")
    serialised = params.SerializeToString(deterministic=True)
    assert answer.params_omitted.sha256 == hashlib.sha256(serialised).hexdigest()
    assert answer.params_omitted.size_bytes == len(serialised)
    assert not answer.requirements.HasField("params")
    assert len(stored) < 2_000


async def test_long_parameters_are_checked_all_the_same() -> None:
    picky = candidate("d2@local", schema=compile_schema({"properties": {"x": {"type": "string", "maxLength": 10}}}))
    async with serving([picky]) as selector:
        made = request()
        made.requirements.params.update({"x": "a" * 120_000})
        with pytest.raises(SomaError) as refused:
            await selector.stub.Select(made)
    assert [item.type for item in refused.value.preconditions] == ["PARAMS_MISMATCH"]


async def test_what_waits_to_be_recorded_holds_no_long_parameters() -> None:
    async with serving([D2]) as selector:
        made = request()
        made.requirements.params.update({"x": "a" * 120_000})
        await selector.stub.Select(made)
        [waiting] = selector.harness.selector._recorder._queue._queue  # type: ignore[attr-defined]
    assert waiting.selection_request.requirements.params is None
    assert waiting.selection_request.stored_params.value is None
