"""JSON objects in messages (`google.protobuf.Struct`)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from soma_client.gen.google.protobuf import ListValue, NullValue, Struct, Value

if TYPE_CHECKING:
    from pathlib import Path

Json = str | float | int | bool | None | list["Json"] | dict[str, "Json"]

_LARGEST_INT = 2**53
"""A Struct holds numbers as doubles, which are exact up to here."""


def to_struct(given: Mapping[str, object]) -> Struct:
    """A mapping as a message. TypeError names the place of a value that JSON does not have or a Struct cannot hold."""
    return Struct(fields={str(key): _to_value(value, str(key)) for key, value in given.items()})


def from_struct(struct: Struct | None) -> dict[str, Json]:
    """A message as a dictionary; empty when it is absent. A whole number comes back as an int."""
    return {} if struct is None else {key: _from_value(value) for key, value in struct.fields.items()}


def read_plan(path: Path) -> dict[str, Json]:
    """Reads a plan from a JSON file; ValueError when it is not an object."""
    plan = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(plan, dict):
        raise ValueError(f"{path} holds no JSON object")  # noqa: TRY004
    return plan


def _to_value(given: object, place: str) -> Value:
    match given:
        case None:
            return Value(null_value=NullValue.NULL_VALUE)
        case bool():
            return Value(bool_value=given)
        case int() if abs(given) > _LARGEST_INT:
            raise TypeError(f"{place} is an int beyond 2**53, which a Struct cannot hold exactly: give it as text")
        case int() | float():
            if not math.isfinite(given):
                raise TypeError(f"{place} is {given}, which JSON does not have")
            return Value(number_value=float(given))
        case str():
            return Value(string_value=given)
        case Mapping():
            fields = {str(key): _to_value(value, f"{place}.{key}") for key, value in given.items()}
            return Value(struct_value=Struct(fields=fields))
        case list() | tuple():
            items = [_to_value(value, f"{place}[{index}]") for index, value in enumerate(given)]
            return Value(list_value=ListValue(values=items))
    raise TypeError(f"{place} is a {type(given).__name__}, which JSON does not have")


def _from_value(value: Value) -> Json:
    if value.struct_value is not None:
        return from_struct(value.struct_value)
    if value.list_value is not None:
        return [_from_value(item) for item in value.list_value.values]
    if value.number_value is not None:
        number = value.number_value
        return int(number) if number.is_integer() else number
    found = value.string_value if value.string_value is not None else value.bool_value
    return cast("Json", found)
