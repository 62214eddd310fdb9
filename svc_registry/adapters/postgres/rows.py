"""Between rows and the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from mesh.events.audit import canonical
from svc_registry.domain import Capability, CapabilityKey, Constraints, Health, Ladder, Modality

if TYPE_CHECKING:
    from collections.abc import Mapping

_CAPABILITY: TypeAdapter[Capability] = TypeAdapter(Capability)
_CONSTRAINTS: TypeAdapter[Constraints] = TypeAdapter(Constraints)
_HEALTH: TypeAdapter[Health] = TypeAdapter(Health)
_LADDER: TypeAdapter[Ladder] = TypeAdapter(Ladder)
_OF_CAPABILITY = (
    "tenant_id", "tool_id", "provider", "version", "modalities", "input_schema", "output_schema", "constraints",
    "cost_tier", "created_at", "updated_at", "deleted_at",
)  # fmt: skip
_OF_HEALTH = {
    "health_status": "state", "health_failures": "failure_count", "health_checked_at": "checked_at",
    "health_reason": "reason", "circuit_open": "circuit_open", "health_version": "version",
    "open_circuits": "open_circuits",
}  # fmt: skip
COLUMNS = ", ".join((*_OF_CAPABILITY, *_OF_HEALTH, "document"))


def key_columns(key: CapabilityKey) -> tuple[str, str, str]:
    """The primary key of a capability."""
    tool_id, _, provider = key.capability_id.partition("@")
    return key.tenant_id, tool_id, provider


def definition_columns(capability: Capability) -> tuple[object, ...]:
    """What its owner says of it, in the order of the statements that write it."""
    return (
        *key_columns(capability.key),
        capability.version,
        [modality.value for modality in capability.modalities],
        capability.input_schema,
        capability.output_schema,
        _CONSTRAINTS.dump_python(capability.constraints, mode="json"),
        capability.cost_tier.value,
        _document(capability),
        capability.created_at,
        capability.updated_at,
        capability.deleted_at,
    )


def _document(capability: Capability) -> dict[str, object]:
    document: dict[str, object] = _CAPABILITY.dump_python(capability, mode="json", exclude={*_OF_CAPABILITY, "health"})
    if capability.tenant_id:  # The owner says who may use it.
        allow = document["allow"]
        document["allow"] = {name: value for name, value in dict(allow).items() if name != "tenants"}  # type: ignore[call-overload]
    return document


def health_columns(health: Health) -> tuple[object, ...]:
    """Health, in the order of the statement that writes it."""
    return (
        health.state.value,
        health.failure_count,
        health.checked_at,
        health.reason,
        health.circuit_open,
        health.version,
        {reporter: at.isoformat() for reporter, at in health.open_circuits.items()},
    )


def capability_from(row: Mapping[str, object]) -> Capability:
    """A capability of a row."""
    document = dict(row["document"])  # type: ignore[call-overload]
    if row["tenant_id"]:
        document["allow"] = {**document["allow"], "tenants": [row["tenant_id"]]}
    health = {name: row[column] for column, name in _OF_HEALTH.items()}
    return _CAPABILITY.validate_python({**document, **{name: row[name] for name in _OF_CAPABILITY}, "health": health})


def audited(capability: Capability) -> bytes:
    """What its owner says of it, health aside."""
    shown = _CAPABILITY.dump_python(capability, mode="json", exclude={"health", "created_at", "updated_at"})
    return canonical(shown)


def ladder_from(row: Mapping[str, object]) -> Ladder:
    """A ladder of a row."""
    return _LADDER.validate_python(
        {
            "key": {"modality": Modality(str(row["modality"])), "task_type": row["task_type"]},
            **{name: row[name] for name in ("capability_ids", "tenant_id", "version", "updated_by", "updated_at")},
        }
    )
