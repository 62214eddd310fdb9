"""Bounds of fields: `buf.validate` rules as JSON Schema keywords."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.descriptor import FieldDescriptor

if TYPE_CHECKING:
    from google.protobuf.message import Message

_NUMBERS = frozenset({"int32", "sint32", "uint32", "fixed32", "sfixed32", "double", "float"})
_KEYWORDS = {"gt": "exclusiveMinimum", "gte": "minimum", "lt": "exclusiveMaximum", "lte": "maximum"}
_FORMATS = {"uuid": "uuid", "email": "email", "uri": "uri", "hostname": "hostname", "ip": "ip"}


def bounds(field: FieldDescriptor, rules: Message | None, *, required: bool) -> dict[str, object]:
    """Keywords for a field's rules; those of repeated elements are below `items`."""
    kind = rules.WhichOneof("type") if rules is not None else None
    if rules is None or kind is None:
        return {"minLength": 1} if required and _is_text(field) else {}
    kind_rules = getattr(rules, kind)
    if kind == "string":
        return _text(kind_rules, required=required)
    if kind in _NUMBERS:
        return _number(kind_rules)
    if kind == "repeated":
        return _repeated(field, kind_rules)
    if kind == "map":
        return _present(kind_rules, {"min_pairs": "minProperties", "max_pairs": "maxProperties"})
    return {}


def _is_text(field: FieldDescriptor) -> bool:
    return field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated


def _present(rules: Message, names: dict[str, str]) -> dict[str, object]:
    return {keyword: getattr(rules, name) for name, keyword in names.items() if rules.HasField(name)}


def _text(rules: Message, *, required: bool) -> dict[str, object]:
    found = _present(rules, {"min_len": "minLength", "max_len": "maxLength", "pattern": "pattern", "const": "const"})
    allowed = list(getattr(rules, "in"))
    if allowed:
        found["enum"] = allowed
    form = rules.WhichOneof("well_known")
    if form in _FORMATS:
        found["format"] = _FORMATS[form]
    elif required and "minLength" not in found and not allowed:
        found["minLength"] = 1
    return found


def _number(rules: Message) -> dict[str, object]:
    found = _present(rules, _KEYWORDS | {"const": "const"})
    allowed = list(getattr(rules, "in"))
    return {**found, **({"enum": allowed} if allowed else {})}


def _repeated(field: FieldDescriptor, rules: Message) -> dict[str, object]:
    found = _present(rules, {"min_items": "minItems", "max_items": "maxItems", "unique": "uniqueItems"})
    items = rules.items if rules.HasField("items") else None  # type: ignore[attr-defined]
    inner = bounds(field, items, required=False) if items is not None else {}
    return {**found, **({"items": inner} if inner else {})}
