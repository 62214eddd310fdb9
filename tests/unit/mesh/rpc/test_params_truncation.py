"""Parameters as they are kept: whole where they are small, size and digest in the place of what is not."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from google.protobuf.struct_pb2 import Struct

from mesh.rpc.params_truncation import KEPT_BYTES, OMITTED, ParamsSizeLimit, truncate_params
from mesh.rpc.wellknown import json_object

if TYPE_CHECKING:
    from pydantic import JsonValue

LARGE: dict[str, JsonValue] = {"kind": "bar", "data": [1] * 50_000}
LARGE_LEFT_OUT = {"sha256": hashlib.sha256(b"[" + b"1," * 49_999 + b"1]").hexdigest(), "size_bytes": 100_001}


def test_small_parameters_stay_as_they_are() -> None:
    small = {"kind": "bar", "data": [1, 2.5, None, {"deep": ["x"]}]}
    assert ParamsSizeLimit().apply(small) is small


def test_the_largest_entry_is_left_out_and_the_others_stay() -> None:
    assert ParamsSizeLimit().apply(LARGE) == {"kind": "bar", "data": {OMITTED: LARGE_LEFT_OUT}}


def test_of_too_many_entries_none_is_kept() -> None:
    many = {str(number): "x" for number in range(10_000)}
    [(name, left_out)] = ParamsSizeLimit().apply(many).items()
    assert name == OMITTED
    assert isinstance(left_out, dict)
    assert set(left_out) == {"sha256", "size_bytes"}


def test_bytes_are_those_of_the_canonical_json() -> None:
    longest = {"a": "x" * (KEPT_BYTES - len('{"a":""}'))}
    assert ParamsSizeLimit().apply(longest) is longest
    longer = {"a": f"{longest['a']}x"}
    assert OMITTED in str(ParamsSizeLimit().apply(longer))


def test_all_of_an_answer_share_its_room() -> None:
    room = ParamsSizeLimit(2 * KEPT_BYTES)
    each = {"a": "x" * (KEPT_BYTES - 100)}
    assert [room.apply(each) is each for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("value", [{"kind": "bar"}, LARGE, {}])
async def test_a_message_is_bound_like_its_object(value: dict[str, JsonValue]) -> None:
    message = Struct()
    message.update(value)
    await truncate_params(message)
    assert json_object(message) == ParamsSizeLimit().apply(value)
