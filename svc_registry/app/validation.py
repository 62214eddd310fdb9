"""Checks of capabilities before they are stored, and the fields that may change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mesh.errors import invalid
from svc_registry.domain import Capability

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from svc_registry.app.schemas import Schemas

UNCHANGEABLE = frozenset(
    {"tool_id", "provider", "tenant_id", "version", "health", "created_at", "updated_at", "deleted_at"}
)
MAX_PARAMETERS_BYTES = 64 * 1024
API_NAMES = {"expected_latency_ms": "expected_latency"}
"""What the API calls fields that have another name here."""
CHANGEABLE = {API_NAMES.get(name, name): name for name in Capability.__dataclass_fields__ if name not in UNCHANGEABLE}
"""Names of the fields by what the API calls them."""


async def check(submitted: Capability, before: Capability | None, schemas: Schemas, now: datetime) -> None:
    """Raises INVALID_ARGUMENT, naming the field, for what cannot be stored in place of `before`."""
    for name, schema in (("input_schema", submitted.input_schema), ("output_schema", submitted.output_schema)):
        problem = await schemas.problem(schema, submitted.tenant_id)
        if problem:
            raise invalid(f"capability.{name}", f"must be a JSON Schema (2020-12) within bounds: {problem}")
    if len(json.dumps(submitted.default_parameters, ensure_ascii=False).encode()) > MAX_PARAMETERS_BYTES:
        raise invalid("capability.default_parameters", f"must have at most {MAX_PARAMETERS_BYTES} bytes as JSON")
    units = [price.unit for price in submitted.price_list.prices]
    if len(set(units)) != len(units):
        raise invalid("capability.price_list.prices", "each unit may be priced once")
    known = before is not None and before.price_list == submitted.price_list
    effective = submitted.price_list.effective_at
    if not known and effective is not None and effective > now:
        # There is one list, the one that selections are costed by: one for later would replace the one in force.
        raise invalid(
            "capability.price_list.effective_time",
            "must not be in the future: send the list once it is in effect, the one in force stays until then",
        )


def masked(submitted: Capability, fields: Sequence[str]) -> dict[str, object]:
    """Values of the fields, which are named as in the API; "*" alone names all that may change."""
    if not fields:
        raise invalid("update_mask", f"must name what to change: {', '.join(CHANGEABLE)}, or '*' for all of these")
    wanted = list(CHANGEABLE) if list(fields) == ["*"] else list(fields)
    for name in wanted:
        if name not in CHANGEABLE:
            raise invalid("update_mask", _refusal(name))
    return {CHANGEABLE[name]: getattr(submitted, CHANGEABLE[name]) for name in wanted}


def _refusal(name: str) -> str:
    whole = name.partition(".")[0]
    if whole != name and whole in CHANGEABLE:
        return f"{name!r} is part of a field, which changes as a whole: name {whole!r} and send all of it"
    return f"{name!r} cannot be changed; possible: {', '.join(CHANGEABLE)}"
