"""Counts and times what the selector does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mesh import telemetry
from mesh.errors import SomaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_selector.app import Selections
    from svc_selector.domain.model import Ask, Decision, Recorded, Subject


class MeasuredSelector:
    """Wraps the use case; labels are bounded by the capabilities that are registered."""

    def __init__(self, selector: Selections) -> None:
        self._selector = selector
        self._seconds = telemetry.histogram("selector_seconds", "Time of a selection.", ("modality",))
        self._chosen = telemetry.counter(
            "multimodal_capability_selection_total",
            "Capabilities chosen.",
            ("modality", "tool_id", "provider", "decision_source"),
        )
        self._rejected = telemetry.counter("selector_rejected_total", "Capabilities left out.", ("reason",))
        self._reserved = telemetry.counter("budget_reserved_micro_usd", "Reserved amounts.")
        self._denied = telemetry.counter("budget_denied_total", "Selections that the budget did not bear.")

    async def select(self, ask: Ask, subject: Subject) -> Decision:
        """Chooses, and counts."""
        started = time.perf_counter()
        try:
            decision = await self._selector.select(ask, subject)
        except SomaError as error:
            for item in error.preconditions:
                self._rejected.labels(item.type).inc()
            if error.quotas:
                self._denied.labels().inc()
            raise
        finally:
            self._seconds.labels(ask.need.modality).observe(time.perf_counter() - started)
        for rejection in decision.rejected:
            self._rejected.labels(rejection.code).inc()
        if decision.chosen is not None:
            chosen = decision.chosen
            self._chosen.labels(ask.need.modality, chosen.tool_id, chosen.provider, decision.source.value).inc()
        if decision.held is not None:
            self._reserved.labels().inc(decision.held.amount_micro_usd)
        return decision

    async def get(self, tenant_id: str, selection_id: str) -> bytes:
        """Hands on."""
        return await self._selector.get(tenant_id, selection_id)

    async def by_request(self, tenant_id: str, request_id: str) -> Recorded | None:
        """Hands on."""
        return await self._selector.by_request(tenant_id, request_id)

    async def list(self, tenant_id: str, job_id: str, size: int, token: str) -> Sequence[bytes]:
        """Hands on."""
        return await self._selector.list(tenant_id, job_id, size, token)
