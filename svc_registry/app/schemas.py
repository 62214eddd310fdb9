"""JSON Schemas of parameters, compiled once a capability version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jsonschema

if TYPE_CHECKING:
    from svc_registry.domain import Capability, JsonObject


class Schemas:
    """Checks parameters against input schemas; validators are kept by capability and version."""

    def __init__(self) -> None:
        self._validators: dict[str, tuple[int, jsonschema.Draft202012Validator]] = {}

    def error(self, capability: Capability, params: JsonObject) -> str:
        """What is wrong with the parameters, in one sentence; "" when nothing is."""
        kept = self._validators.get(capability.capability_id)
        if kept is None or kept[0] != capability.version:
            kept = (capability.version, jsonschema.Draft202012Validator(dict(capability.input_schema)))
            self._validators[capability.capability_id] = kept
        error = jsonschema.exceptions.best_match(kept[1].iter_errors(params))
        return "" if error is None else f"{error.json_path}: {error.message}"


def schema_problem(schema: JsonObject) -> str:
    """Why a document is no JSON Schema (draft 2020-12); "" when it is one."""
    try:
        jsonschema.Draft202012Validator.check_schema(dict(schema))
    except jsonschema.SchemaError as error:
        return f"{error.json_path}: {error.message}"
    return ""
