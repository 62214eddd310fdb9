"""Checks of a request's parameters against the input schemas of candidates."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mesh.json_schema import BoundedValue
from mesh.thread_slots import ThreadSlots
from svc_selector.domain.candidate_rules import obstacles

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from svc_selector.domain.model import Candidate, JsonObject, SelectionRequest

INLINE_BYTES = 4 << 10
"""Parameters up to this size are checked against the platform's schemas without a thread."""


class SchemaChecks:
    """Finds what of the parameters does not fit.

    A tenant chooses how long its schemas and its parameters take, within bounds: large parameters and private
    candidates are checked in a thread, one request of a tenant at a time, and the private candidates of one request
    within one bound.
    """

    def __init__(self) -> None:
        self._threads = ThreadSlots("checking parameters")

    async def errors(
        self, candidates: Iterable[Candidate], selection_request: SelectionRequest, tenant_id: str
    ) -> Mapping[str, str]:
        """What does not fit, by capability id; "" or absent for those that fit, have no schema or cannot serve."""
        params, stored = selection_request.requirements.params, selection_request.stored_params
        if params is None:
            return {}
        candidates = [
            item
            for item in candidates
            if item.schema is not None and next(obstacles(item, selection_request.requirements), None) is None
        ]
        large = stored is not None and stored.size_bytes > INLINE_BYTES
        threaded = [candidate for candidate in candidates if large or candidate.is_private]
        errors = _errors([candidate for candidate in candidates if not (large or candidate.is_private)], params)
        if threaded:
            errors |= await self._threads.run(tenant_id, partial(_errors, threaded, params))
        return errors


def _errors(candidates: Iterable[Candidate], params: JsonObject) -> dict[str, str]:
    bounded = BoundedValue(params)
    return {
        candidate.capability_id: candidate.schema.first_error_in(
            bounded if candidate.is_private else bounded.with_own_budget()
        )
        for candidate in candidates
        if candidate.schema is not None
    }
