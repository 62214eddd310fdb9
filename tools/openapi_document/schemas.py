"""JSON Schemas of messages, enums and fields, as protobuf's JSON form is written by the edge."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from tools.openapi_document.rules import bounds

if TYPE_CHECKING:
    from collections.abc import Collection

    from tools.openapi_document.contracts import Contracts

Schema: TypeAlias = dict[str, object]
RAW = "google.api.HttpBody"

_INT64: Schema = {"type": "string", "format": "int64", "pattern": "^-?(0|[1-9][0-9]{0,17})$"}
_UINT64: Schema = {"type": "string", "format": "uint64", "pattern": "^(0|[1-9][0-9]{0,17})$"}
_INT32: Schema = {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1}
_UINT32: Schema = {"type": "integer", "format": "int64", "minimum": 0, "maximum": 2**32 - 1}
_SCALARS: dict[int, Schema] = {
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.TYPE_INT64: _INT64,
    FieldDescriptor.TYPE_SINT64: _INT64,
    FieldDescriptor.TYPE_SFIXED64: _INT64,
    FieldDescriptor.TYPE_UINT64: _UINT64,
    FieldDescriptor.TYPE_FIXED64: _UINT64,
    FieldDescriptor.TYPE_INT32: _INT32,
    FieldDescriptor.TYPE_SINT32: _INT32,
    FieldDescriptor.TYPE_SFIXED32: _INT32,
    FieldDescriptor.TYPE_UINT32: _UINT32,
    FieldDescriptor.TYPE_FIXED32: _UINT32,
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "format": "byte"},
}
_WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {
        "type": "string",
        "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$",
        "examples": ["1.5s"],
    },
    "google.protobuf.FieldMask": {
        "type": "string",
        "pattern": r"^([a-zA-Z][a-zA-Z0-9_.]*(,[a-zA-Z][a-zA-Z0-9_.]*)*)?$",
        "examples": ["displayName,labels"],
    },
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Empty": {"type": "object"},
    "google.protobuf.Any": {"type": "object", "properties": {"@type": {"type": "string"}}, "required": ["@type"]},
}
_REQUIRED, _OUTPUT_ONLY, _INPUT_ONLY = "REQUIRED", "OUTPUT_ONLY", "INPUT_ONLY"


class Schemas:
    """Makes schemas, and keeps those of named messages and enums for the components section."""

    def __init__(self, contracts: Contracts) -> None:
        self._contracts = contracts
        self.components: dict[str, Schema] = {}

    def message(self, message: Descriptor) -> Schema:
        """A reference to a message's schema, or the schema itself for well-known types."""
        known = _WELL_KNOWN.get(message.full_name)
        if known is not None:
            return dict(known)
        name = _component(message.full_name)
        if name not in self.components:
            self.components[name] = {}  # a message may contain itself
            self.components[name] = self.inline(message)
        return {"$ref": f"#/components/schemas/{name}"}

    def inline(self, message: Descriptor, without: Collection[str] = ()) -> Schema:
        """A message's own schema, without some of its fields."""
        fields = [field for field in message.fields if field.name not in without]
        schema: Schema = {"type": "object"}
        _describe(schema, self._contracts.comment(message.full_name))
        schema["properties"] = {field.name: self.field(field) for field in fields}
        required = [field.name for field in fields if self.required(field)]
        if required:
            schema["required"] = required
        return schema

    def required(self, field: FieldDescriptor) -> bool:
        """Whether a request must carry the field."""
        return _REQUIRED in self._contracts.behaviors(field)

    def field(self, field: FieldDescriptor) -> Schema:
        """The schema of a field, with its bounds and comment."""
        rules = self._contracts.option(field, "buf.validate.field")
        behaviors = self._contracts.behaviors(field)
        entry = _map_entry(field)
        if entry is not None:
            schema: Schema = {"type": "object", "additionalProperties": self._single(entry.fields_by_name["value"])}
        elif field.is_repeated:
            schema = {"type": "array", "items": self._single(field)}
        else:
            schema = self._single(field)
        schema = _merged(schema, bounds(field, rules, required=_REQUIRED in behaviors))
        _describe(schema, self._contracts.comment(field.full_name))
        if _OUTPUT_ONLY in behaviors:
            schema["readOnly"] = True
        if _INPUT_ONLY in behaviors:
            schema["writeOnly"] = True
        return schema

    def _single(self, field: FieldDescriptor) -> Schema:
        if field.message_type is not None:
            return self.message(field.message_type)
        if field.enum_type is not None:
            return self._enum(field.enum_type)
        return dict(_SCALARS[field.type])

    def _enum(self, enum: EnumDescriptor) -> Schema:
        name = _component(enum.full_name)
        if name not in self.components:
            values = [value.name for value in enum.values]
            value_lines = [f"- {value}: {self._contracts.comment(f'{enum.full_name}.{value}')}" for value in values]
            schema: Schema = {"type": "string", "enum": values}
            _describe(schema, "\n".join([self._contracts.comment(enum.full_name), "", *value_lines]).strip())
            self.components[name] = schema
        return {"$ref": f"#/components/schemas/{name}"}


def _component(full_name: str) -> str:
    """`soma.executor.v1.Job` becomes `executor.v1.Job`."""
    return full_name.removeprefix("soma.")


def _map_entry(field: FieldDescriptor) -> Descriptor | None:
    """The message of a map's entries; None for other fields."""
    message = field.message_type
    return message if message is not None and message.GetOptions().map_entry else None


def _describe(schema: Schema, text: str) -> None:
    if text:
        schema["description"] = text


def _merged(schema: Schema, more: Schema) -> Schema:
    """The schema with bounds; those of elements go to where the elements are described."""
    items = more.pop("items", None)
    if isinstance(items, dict) and isinstance(schema.get("items"), dict):
        schema = {**schema, "items": {**schema["items"], **items}}  # type: ignore[dict-item]
    return {**schema, **more}
