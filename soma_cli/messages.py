"""Reads messages of the contracts from the JSON of the REST API, and gives their fields as commands show them.

Unknown fields are left out: the API may grow.
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
"""Names of fields in the order in which they are printed; a message's with those of its own."""


def parse(kind: type[M], text: str) -> M:
    """Read a message from JSON; raise EdgeError when the text is none of this kind."""
    try:
        found = json.loads(text)
        if isinstance(found, dict):
            return ParseDict(found, kind(), ignore_unknown_fields=True)
        reason = "it is no JSON object"
    except (ValueError, ParseError) as error:
        reason = str(error)
    raise EdgeError(f"the mesh answered something that is no {kind.DESCRIPTOR.name}: {reason}")


def enum_name(message: Message, field: str) -> str:
    """Name of an enum field's value; of one that this version does not know, its number."""
    return _name(message, field, getattr(message, field))


def enum_names(message: Message, field: str) -> list[str]:
    """Names of the values of a repeated enum field."""
    return [_name(message, field, number) for number in getattr(message, field)]


def optional(message: Message, field: str) -> Any:  # noqa: ANN401 - the field's type
    """Value of a field; None when it is not set."""
    return getattr(message, field) if message.HasField(field) else None


def moment(message: Message, field: str) -> datetime | None:
    """Time of a field, in UTC; None when it is not set."""
    at: Timestamp | None = optional(message, field)
    return at.ToDatetime(UTC) if at is not None else None


def plain(message: Message, fields: Fields) -> dict[str, object]:
    """Give fields of a message as values for JSON: enums by name, times in UTC, None for what is not set."""
    found: dict[str, object] = {}
    for each in fields:
        name, inner = each if isinstance(each, tuple) else (each, ())
        field = message.DESCRIPTOR.fields_by_name[name]
        if field.is_repeated:
            found[name] = [_plain(message, name, value, inner) for value in getattr(message, name)]
        elif field.has_presence and not message.HasField(name):
            found[name] = None
        else:
            found[name] = _plain(message, name, getattr(message, name), inner)
    return found


def _plain(owner: Message, field: str, value: object, fields: Fields) -> object:
    """One value of a field for JSON."""
    if isinstance(value, int) and owner.DESCRIPTOR.fields_by_name[field].enum_type is not None:
        return _name(owner, field, value)
    if isinstance(value, Timestamp):
        return value.ToDatetime(UTC)
    if isinstance(value, Struct):
        return MessageToDict(value)
    return plain(value, fields) if isinstance(value, Message) else value


def _name(owner: Message, field: str, number: int) -> str:
    enum = owner.DESCRIPTOR.fields_by_name[field].enum_type
    known = enum.values_by_number if enum is not None else {}
    return known[number].name if number in known else str(number)
