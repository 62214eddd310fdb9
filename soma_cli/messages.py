"""Parses messages from the JSON of the REST API, and converts their fields for output.

Unknown fields are ignored: a later version of the API may have more.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from soma_cli.errors import EdgeError

M = TypeVar("M", bound=Message)
Fields: TypeAlias = "tuple[str | tuple[str, Fields], ...]"
"""Names of fields in the order of output; that of a message field comes with the names of its own fields."""


def parse(message_type: type[M], text: str) -> M:
    """Parses a message from JSON; raises EdgeError when the text is not one of this type."""
    try:
        parsed = json.loads(text)
        if isinstance(parsed, dict):
            return ParseDict(parsed, message_type(), ignore_unknown_fields=True)
        reason = "it is not a JSON object"
    except (ValueError, ParseError) as error:
        reason = str(error)
    raise EdgeError(f"the mesh returned something that is not a {message_type.DESCRIPTOR.name}: {reason}")


def enum_name(message: Message, field: str) -> str:
    """Returns the name of an enum field's value; the number of a value that this version does not know."""
    return _enum_value_name(message, field, getattr(message, field))


def enum_names(message: Message, field: str) -> list[str]:
    """Returns the names of the values of a repeated enum field."""
    return [_enum_value_name(message, field, number) for number in getattr(message, field)]


def get_optional(message: Message, field: str) -> Any:  # noqa: ANN401 - the field's type
    """Returns the value of a field; None when it is not set."""
    return getattr(message, field) if message.HasField(field) else None


def get_time(message: Message, field: str) -> datetime | None:
    """Returns the time of a field in UTC; None when it is not set."""
    at: Timestamp | None = get_optional(message, field)
    return at.ToDatetime(UTC) if at is not None else None


def message_fields(message: Message, fields: Fields) -> dict[str, object]:
    """Returns fields of a message as values for JSON: enums by name, times in UTC, None for what is not set."""
    values: dict[str, object] = {}
    for entry in fields:
        name, inner = entry if isinstance(entry, tuple) else (entry, ())
        field = message.DESCRIPTOR.fields_by_name[name]
        if field.is_repeated:
            values[name] = [_field_value(message, name, value, inner) for value in getattr(message, name)]
        elif field.has_presence and not message.HasField(name):
            values[name] = None
        else:
            values[name] = _field_value(message, name, getattr(message, name), inner)
    return values


def _field_value(owner: Message, field: str, value: object, fields: Fields) -> object:
    """Returns one value of a field for JSON."""
    if isinstance(value, int) and owner.DESCRIPTOR.fields_by_name[field].enum_type is not None:
        return _enum_value_name(owner, field, value)
    if isinstance(value, Timestamp):
        return value.ToDatetime(UTC)
    if isinstance(value, Struct):
        return MessageToDict(value)
    return message_fields(value, fields) if isinstance(value, Message) else value


def _enum_value_name(owner: Message, field: str, number: int) -> str:
    enum = owner.DESCRIPTOR.fields_by_name[field].enum_type
    names = enum.values_by_number if enum is not None else {}
    return names[number].name if number in names else str(number)
