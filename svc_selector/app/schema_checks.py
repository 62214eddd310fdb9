"""Checks the parameters of a request against the input schemas of candidates."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mesh.json_schema import BoundedValue
from mesh.thread_slots import ThreadSlots
from svc_selector.domain.candidate_rules import unmet_requirements

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from svc_selector.domain.model import Candidate, JsonObject, SelectionRequest

INLINE_BYTES = 4 << 10
"""Parameters up to this size are checked against the platform's schemas on the event loop."""


class SchemaChecks:
    """Validates parameters without blocking the event loop.

    How long a check takes is up to the schemas and parameters of a tenant, within limits: large parameters and private
    candidates are checked in a thread, one request of a tenant at a time. All private candidates of a request share
    one budget of work.
    """

    def __init__(self) -> None:
        self._threads = ThreadSlots("checking parameters")

    async def errors(
        self, candidates: Iterable[Candidate], selection_request: SelectionRequest, tenant_id: str
    ) -> Mapping[str, str]:
        """Returns the first violation by capability id; "" or absent for candidates without one.

        Candidates that have no schema or do not meet the other requirements are not checked.
        """
        params, stored = selection_request.requirements.params, selection_request.stored_params
        if params is None:
            return {}
        candidates = [
            candidate
            for candidate in candidates
            if candidate.schema is not None
            and next(unmet_requirements(candidate, selection_request.requirements), None) is None
        ]
        large = stored is not None and stored.size_bytes > INLINE_BYTES
        in_thread = [candidate for candidate in candidates if large or candidate.is_private]
        errors = _errors([candidate for candidate in candidates if not (large or candidate.is_private)], params)
        if in_thread:
            errors |= await self._threads.run(tenant_id, partial(_errors, in_thread, params))
        return errors


def _errors(candidates: Iterable[Candidate], params: JsonObject) -> dict[str, str]:
    value = BoundedValue(params)
    return {
        candidate.capability_id: candidate.schema.first_error_in(
            value if candidate.is_private else value.with_own_budget()
        )
        for candidate in candidates
        if candidate.schema is not None
    }
