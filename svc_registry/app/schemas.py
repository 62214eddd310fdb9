"""JSON Schemas that are offered for registration, checked off the event loop."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mesh.json_schema import SchemaError, compile_schema
from mesh.thread_slots import ThreadSlots

if TYPE_CHECKING:
    from svc_registry.domain import JsonObject


class Schemas:
    """Finds out whether schemas can be used.

    A tenant chooses how long its schemas take, within bounds: it has one check at a time.
    """

    def __init__(self) -> None:
        self._threads = ThreadSlots("checking schemas")

    async def problem(self, schema: JsonObject, tenant_id: str) -> str:
        """Why a document is no JSON Schema (draft 2020-12) that can be checked within bounds; "" when it is one."""
        return await self._threads.run(tenant_id, partial(_problem, schema)) if schema else ""


def _problem(schema: JsonObject) -> str:
    try:
        compile_schema(schema)
    except SchemaError as error:
        return str(error)
    return ""
