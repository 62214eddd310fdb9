"""JSON within messages is read as `json_format` reads it, and no contract has rules of what it holds."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

import soma
from buf.validate import validate_pb2
from mesh.rpc.values import without_json
from mesh.rpc.wellknown import json_object
from soma.executor.v1.job_service_pb2 import SubmitJobRequest
from soma.registry.v1.capability_service_pb2 import FindCandidatesRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor, FieldDescriptor
    from pydantic import JsonValue

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53).map(float)
SCALARS = st.none() | st.booleans() | st.text(max_size=8) | NUMBERS
JSON = st.recursive(SCALARS, lambda held: st.lists(held, max_size=4) | st.dictionaries(st.text(max_size=4), held))


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4))
def test_an_object_is_read_as_json_format_reads_it(value: dict[str, JsonValue]) -> None:
    message = Struct()
    message.update(value)
    assert json_object(message) == MessageToDict(message)


def test_whole_numbers_are_integers_and_a_value_of_no_kind_is_null() -> None:
    message = Struct()
    message.update({"whole": 3.0, "part": 0.5, "large": 2.0**60, "yes": True})
    message.fields["none"].SetInParent()
    message.fields["list"].list_value.values.add()
    read = json_object(message)
    assert read == {"whole": 3, "part": 0.5, "large": 2.0**60, "yes": True, "none": None, "list": [None]}
    assert [type(read[name]) for name in ("whole", "large", "yes")] == [int, float, bool]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_json_does_not_have_is_refused(number: float) -> None:
    message = Struct()
    message.fields["list"].list_value.values.add().number_value = number
    with pytest.raises(ValueError, match="not finite"):
        json_object(message)


def test_rules_are_looked_at_without_what_json_objects_hold() -> None:
    request = FindCandidatesRequest()
    request.requirements.params.update({"x": [1, 2]})
    request.requirements.formats.append("png")
    copy = without_json(request)
    assert isinstance(copy, FindCandidatesRequest)
    assert copy.requirements.HasField("params")
    assert not copy.requirements.params.fields
    assert copy.requirements.formats == ["png"]
    assert request.requirements.params.fields


def test_a_message_without_json_objects_is_not_copied() -> None:
    request = SubmitJobRequest(request_id="r")
    assert without_json(request) is request


def _messages() -> Iterator[Descriptor]:
    """Every message of the contracts."""
    for root in map(Path, soma.__path__):
        for path in root.rglob("*_pb2.py"):
            name = ".".join(("soma", *path.relative_to(root).with_suffix("").parts))
            waiting = list(importlib.import_module(name).DESCRIPTOR.message_types_by_name.values())
            while waiting:
                message = waiting.pop()
                yield message
                waiting += message.nested_types


def _objects() -> list[FieldDescriptor]:
    """Every field that is a JSON object."""
    fields = [field for message in _messages() for field in message.fields]
    return [
        field for field in fields if field.message_type and field.message_type.full_name == "google.protobuf.Struct"
    ]


def test_no_contract_has_rules_of_what_a_json_object_holds() -> None:
    """Or they would not be looked at in large requests, whose checks leave JSON objects out."""
    found = _objects()
    assert len(found) > 10
    for field in found:
        rules = field.GetOptions().Extensions[validate_pb2.field]
        assert {rule.name for rule, _ in rules.ListFields()} <= {"required"}, field.full_name
    for message in _messages():
        assert not message.GetOptions().Extensions[validate_pb2.message].ListFields(), message.full_name
