"""Conversion between rows and the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from mesh.events.audit import canonical
from svc_registry.domain import Capability, CapabilityKey, Constraints, Health, Ladder, Modality

if TYPE_CHECKING:
    from collections.abc import Mapping

_CAPABILITY_ADAPTER: TypeAdapter[Capability] = TypeAdapter(Capability)
_CONSTRAINTS_ADAPTER: TypeAdapter[Constraints] = TypeAdapter(Constraints)
_LADDER_ADAPTER: TypeAdapter[Ladder] = TypeAdapter(Ladder)
_CAPABILITY_COLUMNS = (
    "tenant_id", "tool_id", "provider", "version", "modalities", "input_schema", "output_schema", "constraints",
    "cost_tier", "created_at", "updated_at", "deleted_at",
)  # fmt: skip
_HEALTH_FIELDS = {
    "health_status": "state", "health_failures": "failure_count", "health_checked_at": "checked_at",
    "health_reason": "reason", "circuit_open": "circuit_open", "health_version": "version",
    "open_circuits": "open_circuits",
}  # fmt: skip
COLUMNS = ", ".join((*_CAPABILITY_COLUMNS, *_HEALTH_FIELDS, "document"))


def key_columns(key: CapabilityKey) -> tuple[str, str, str]:
    """Returns the primary key of a capability."""
    tool_id, _, provider = key.capability_id.partition("@")
    return key.tenant_id, tool_id, provider


def definition_columns(capability: Capability) -> tuple[object, ...]:
    """Returns the columns of the definition, in the order of the statements that write them."""
    return (
        *key_columns(capability.key),
        capability.version,
        [modality.value for modality in capability.modalities],
        capability.input_schema,
        capability.output_schema,
        _CONSTRAINTS_ADAPTER.dump_python(capability.constraints, mode="json"),
        capability.cost_tier.value,
        _document(capability),
        capability.created_at,
        capability.updated_at,
        capability.deleted_at,
    )


def _document(capability: Capability) -> dict[str, object]:
    document: dict[str, object] = _CAPABILITY_ADAPTER.dump_python(
        capability, mode="json", exclude={*_CAPABILITY_COLUMNS, "health"}
    )
    if capability.tenant_id:  # The owner is the only tenant that may use it, and has a column.
        allow = document["allow"]
        document["allow"] = {name: value for name, value in dict(allow).items() if name != "tenants"}  # type: ignore[call-overload]
    return document


def health_columns(health: Health) -> tuple[object, ...]:
    """Returns the columns of the health, in the order of the statement that writes them."""
    return (
        health.state.value,
        health.failure_count,
        health.checked_at,
        health.reason,
        health.circuit_open,
        health.version,
        {reporter: expires_at.isoformat() for reporter, expires_at in health.open_circuits.items()},
    )


def capability_from_row(row: Mapping[str, object]) -> Capability:
    """Returns the capability of a row."""
    document = dict(row["document"])  # type: ignore[call-overload]
    if row["tenant_id"]:
        document["allow"] = {**document["allow"], "tenants": [row["tenant_id"]]}
    health = {name: row[column] for column, name in _HEALTH_FIELDS.items()}
    return _CAPABILITY_ADAPTER.validate_python(
        {**document, **{name: row[name] for name in _CAPABILITY_COLUMNS}, "health": health}
    )


def canonical_definition(capability: Capability) -> bytes:
    """Returns the capability without health and times in canonical JSON, whose digest an audit event has."""
    definition = _CAPABILITY_ADAPTER.dump_python(
        capability, mode="json", exclude={"health", "created_at", "updated_at"}
    )
    return canonical(definition)


def ladder_from_row(row: Mapping[str, object]) -> Ladder:
    """Returns the ladder of a row."""
    return _LADDER_ADAPTER.validate_python(
        {
            "key": {"modality": Modality(str(row["modality"])), "task_type": row["task_type"]},
            **{name: row[name] for name in ("capability_ids", "tenant_id", "version", "updated_by", "updated_at")},
        }
    )
