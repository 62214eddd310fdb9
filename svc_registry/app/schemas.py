"""JSON Schemas of parameters, compiled once a capability version and checked off the event loop."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

from mesh.json_schema import CompiledSchema, SchemaError, compile_schema
from svc_registry.domain import LeftOut, params_mismatch, schema_unusable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_registry.domain import Capability, CapabilityKey, JsonObject

_CACHED = 1024
_AT_ONCE = 32
"""Checks of one turn in the thread: a call that is cancelled ends after its turn."""


class Schemas:
    """Checks parameters against input schemas; the compiled ones used last are cached by capability and version."""

    def __init__(self) -> None:
        self._compiled: OrderedDict[tuple[CapabilityKey, int], CompiledSchema | str] = OrderedDict()

    async def mismatches(self, capabilities: Sequence[Capability], params: JsonObject) -> dict[str, LeftOut]:
        """Those whose input schema the parameters do not fit, by capability id, each with its reason.

        A schema that cannot be used, which an older release let in, leaves out its capability alone.
        """
        found: dict[str, LeftOut] = {}
        with_schema = [item for item in capabilities if item.input_schema]
        for start in range(0, len(with_schema), _AT_ONCE):
            turn = with_schema[start : start + _AT_ONCE]
            found |= await asyncio.to_thread(self._turn, turn, params)
        return found

    def _turn(self, capabilities: Sequence[Capability], params: JsonObject) -> dict[str, LeftOut]:
        pairs = ((item.capability_id, self._mismatch(item, params)) for item in capabilities)
        return {id_: left_out for id_, left_out in pairs if left_out is not None}

    def _mismatch(self, capability: Capability, params: JsonObject) -> LeftOut | None:
        compiled = self._of(capability)
        if isinstance(compiled, str):
            return schema_unusable(capability.capability_id, compiled)
        error = compiled.first_error(params)
        return params_mismatch(capability.capability_id, error) if error else None

    def _of(self, capability: Capability) -> CompiledSchema | str:
        key = (capability.key, capability.version)
        compiled = self._compiled.pop(key, None)
        if compiled is None:
            try:
                compiled = compile_schema(capability.input_schema)
            except SchemaError as error:
                compiled = str(error)
        self._compiled[key] = compiled
        while len(self._compiled) > _CACHED:
            self._compiled.popitem(last=False)
        return compiled


async def schema_problem(schema: JsonObject) -> str:
    """Why a document is no JSON Schema (draft 2020-12) that can be checked within bounds; "" when it is one."""
    if not schema:
        return ""
    try:
        await asyncio.to_thread(compile_schema, schema)
    except SchemaError as error:
        return str(error)
    return ""
