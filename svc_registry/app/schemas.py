"""Validation of the JSON Schemas of capabilities, off the event loop."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mesh.json_schema import SchemaError, compile_schema
from mesh.thread_slots import ThreadSlots

if TYPE_CHECKING:
    from svc_registry.domain import JsonObject


class SchemaValidator:
    """Validates schemas. How long that takes depends on the schema, so each tenant has one validation at a time."""

    def __init__(self) -> None:
        self._threads = ThreadSlots("checking schemas")

    async def find_problem(self, schema: JsonObject, tenant_id: str) -> str:
        """Returns why a document is not a JSON Schema (draft 2020-12) within bounds; "" when it is one."""
        return await self._threads.run(tenant_id, partial(_find_problem, schema)) if schema else ""


def _find_problem(schema: JsonObject) -> str:
    try:
        compile_schema(schema)
    except SchemaError as error:
        return str(error)
    return ""
