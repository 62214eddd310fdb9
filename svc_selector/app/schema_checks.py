"""Checks of an ask's parameters against the input schemas of offers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mesh.json_schema import BoundedValue
from mesh.thread_slots import ThreadSlots
from svc_selector.domain.judge import obstacles

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from svc_selector.domain.model import Ask, JsonObject, Offer

INLINE_BYTES = 4 << 10
"""Parameters up to this size are checked against the platform's schemas without a thread."""


class SchemaChecks:
    """Finds what of the parameters does not fit.

    A tenant chooses how long its schemas and its parameters take, within bounds: large parameters and private offers
    are checked in a thread, one ask of a tenant at a time, and the private offers of one ask within one bound.
    """

    def __init__(self) -> None:
        self._threads = ThreadSlots("checking parameters")

    async def errors(self, offers: Iterable[Offer], ask: Ask, tenant_id: str) -> Mapping[str, str]:
        """What does not fit, by capability id; "" or absent for those that fit, have no schema or cannot serve."""
        params, kept = ask.need.params, ask.kept_params
        if params is None:
            return {}
        offers = [item for item in offers if item.schema is not None and next(obstacles(item, ask.need), None) is None]
        large = kept is not None and kept.size_bytes > INLINE_BYTES
        threaded = [offer for offer in offers if large or offer.is_private]
        errors = _errors([offer for offer in offers if not (large or offer.is_private)], params)
        if threaded:
            errors |= await self._threads.run(tenant_id, partial(_errors, threaded, params))
        return errors


def _errors(offers: Iterable[Offer], params: JsonObject) -> dict[str, str]:
    bounded = BoundedValue(params)
    return {
        offer.capability_id: offer.schema.first_error_in(bounded if offer.is_private else bounded.alone())
        for offer in offers
        if offer.schema is not None
    }
