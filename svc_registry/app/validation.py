"""Validation of capabilities before they are stored, and the fields that an update may change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mesh.errors import invalid
from svc_registry.domain import Capability

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from svc_registry.app.schemas import SchemaValidator

IMMUTABLE_FIELDS = frozenset(
    {"tool_id", "provider", "tenant_id", "version", "health", "created_at", "updated_at", "deleted_at"}
)
MAX_PARAMETERS_BYTES = 64 * 1024
API_NAMES = {"expected_latency_ms": "expected_latency"}
"""The API's names of the fields whose names differ from those of `Capability`."""
MUTABLE_FIELDS = {
    API_NAMES.get(name, name): name for name in Capability.__dataclass_fields__ if name not in IMMUTABLE_FIELDS
}
"""The fields that an update may change, by their names in the API."""


async def validate_capability(
    submitted: Capability, before: Capability | None, schemas: SchemaValidator, now: datetime
) -> None:
    """Raises INVALID_ARGUMENT, naming the field, when a capability cannot replace `before`."""
    for name, schema in (("input_schema", submitted.input_schema), ("output_schema", submitted.output_schema)):
        problem = await schemas.find_problem(schema, submitted.tenant_id)
        if problem:
            raise invalid(f"capability.{name}", f"must be a JSON Schema (2020-12) within bounds: {problem}")
    if len(json.dumps(submitted.default_parameters, ensure_ascii=False).encode()) > MAX_PARAMETERS_BYTES:
        raise invalid("capability.default_parameters", f"must have at most {MAX_PARAMETERS_BYTES} bytes as JSON")
    units = [price.unit for price in submitted.price_list.prices]
    if len(set(units)) != len(units):
        raise invalid("capability.price_list.prices", "each unit may be priced once")
    unchanged = before is not None and before.price_list == submitted.price_list
    effective = submitted.price_list.effective_at
    if not unchanged and effective is not None and effective > now:
        # There is one list, the one that selections are costed by: one for later would replace the one in force.
        raise invalid(
            "capability.price_list.effective_time",
            "must not be in the future: send the list once it is in effect, the one in force stays until then",
        )


def masked_values(submitted: Capability, fields: Sequence[str]) -> dict[str, object]:
    """Returns the values of the fields of an update mask, which has the names of the API; "*" alone stands for all."""
    if not fields:
        raise invalid("update_mask", f"must name what to change: {', '.join(MUTABLE_FIELDS)}, or '*' for all of these")
    names = list(MUTABLE_FIELDS) if list(fields) == ["*"] else list(fields)
    for name in names:
        if name not in MUTABLE_FIELDS:
            raise invalid("update_mask", _mask_error(name))
    return {MUTABLE_FIELDS[name]: getattr(submitted, MUTABLE_FIELDS[name]) for name in names}


def _mask_error(name: str) -> str:
    field = name.partition(".")[0]
    if field != name and field in MUTABLE_FIELDS:
        return f"{name!r} is part of a field, which changes as a whole: name {field!r} and send all of it"
    return f"{name!r} cannot be changed; possible: {', '.join(MUTABLE_FIELDS)}"
