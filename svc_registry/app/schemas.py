"""JSON Schemas of parameters, compiled once a capability version and checked off the event loop."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING

from mesh.json_schema import BoundedValue, CompiledSchema, SchemaError, compile_schema
from mesh.thread_slots import ThreadSlots
from svc_registry.domain import Rejection, params_mismatch, schema_unusable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_registry.domain import Capability, CapabilityKey, JsonObject

_CACHED = 1024
_AT_ONCE = 32
"""Checks of one turn in the thread: a call that is cancelled ends after its turn."""


class Schemas:
    """Checks parameters against input schemas; the compiled ones used last are cached by capability and version.

    A tenant chooses how long its schemas take, within bounds: it has one check at a time, and its private capabilities
    have one bound together in each call.
    """

    def __init__(self) -> None:
        self._threads = ThreadSlots("checking schemas")
        self._compiled: OrderedDict[tuple[CapabilityKey, int], CompiledSchema | str] = OrderedDict()

    async def problem(self, schema: JsonObject, tenant_id: str) -> str:
        """Why a document is no JSON Schema (draft 2020-12) that can be checked within bounds; "" when it is one."""
        return await self._threads.run(tenant_id, partial(_problem, schema)) if schema else ""

    async def mismatches(
        self, capabilities: Sequence[Capability], params: JsonObject, tenant_id: str
    ) -> dict[str, Rejection]:
        """Those whose input schema the parameters do not fit, by capability id, each with its reason.

        A schema that cannot be used, which an older release let in, leaves out its capability alone.
        """
        found: dict[str, Rejection] = {}
        bounded = BoundedValue(params)
        with_schema = [item for item in capabilities if item.input_schema]
        for start in range(0, len(with_schema), _AT_ONCE):
            turn = with_schema[start : start + _AT_ONCE]
            found |= await self._threads.run(tenant_id, partial(self._turn, turn, bounded))
        return found

    def _turn(self, capabilities: Sequence[Capability], bounded: BoundedValue) -> dict[str, Rejection]:
        pairs = ((item.capability_id, self._mismatch(item, bounded)) for item in capabilities)
        return {id_: left_out for id_, left_out in pairs if left_out is not None}

    def _mismatch(self, capability: Capability, bounded: BoundedValue) -> Rejection | None:
        compiled = self._of(capability)
        if isinstance(compiled, str):
            return schema_unusable(capability.capability_id, compiled)
        private = capability.tenant_id or capability.allow.tenants
        error = compiled.first_error_in(bounded if private else bounded.with_own_budget())
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


def _problem(schema: JsonObject) -> str:
    try:
        compile_schema(schema)
    except SchemaError as error:
        return str(error)
    return ""
