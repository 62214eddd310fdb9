"""Metrics of the selector."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mesh import telemetry
from mesh.errors import SomaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_selector.app import SelectorUseCases
    from svc_selector.domain.decision import Decision, RankingResult, StoredSelection
    from svc_selector.domain.model import Candidate, SelectionRequest, Subject


PRIVATE = "private"
"""Label value in place of the names of a capability that is restricted to some tenants."""


class InstrumentedSelector:
    """Wraps the use cases. Names that tenants chose are no labels, which bounds the number of series.

    Dry runs have counters of their own.
    """

    def __init__(self, selector: SelectorUseCases) -> None:
        self._selector = selector
        self._seconds = telemetry.histogram("selector_seconds", "Time of a selection.", ("modality",))
        self._chosen = telemetry.counter(
            "multimodal_capability_selection_total",
            "Capabilities chosen.",
            ("modality", "tool_id", "provider", "decision_source"),
        )
        self._rejected = telemetry.counter("selector_rejected_total", "Capabilities left out.", ("reason",))
        self._dry_runs = telemetry.counter(
            "selector_dry_runs_total", "Selections that were ranked only.", ("modality", "result")
        )
        self._reserved = telemetry.counter("budget_reserved_micro_usd", "Reserved amounts.")
        self._denied = telemetry.counter("budget_denied_total", "Selections that exceeded the budget.")

    async def select(self, selection_request: SelectionRequest, subject: Subject) -> Decision:
        """Selects a capability, and counts the result."""
        started = time.perf_counter()
        try:
            decision = await self._selector.select(selection_request, subject)
        except SomaError as error:
            self._count_error(selection_request, error)
            raise
        finally:
            self._seconds.labels(selection_request.requirements.modality).observe(time.perf_counter() - started)
        self._count(decision)
        return decision

    async def find(self, selection_request: SelectionRequest, subject: Subject) -> RankingResult:
        """Ranks candidates, and counts a dry run."""
        modality, result = selection_request.requirements.modality, "refused"
        started = time.perf_counter()
        try:
            ranking = await self._selector.find(selection_request, subject)
            result = "chosen" if ranking.ranked else "refused"
        finally:
            self._seconds.labels(modality).observe(time.perf_counter() - started)
            self._dry_runs.labels(modality, result).inc()
        return ranking

    def _count_error(self, selection_request: SelectionRequest, error: SomaError) -> None:
        if selection_request.dry_run:
            self._dry_runs.labels(selection_request.requirements.modality, "refused").inc()
            return
        for violation in error.preconditions:
            self._rejected.labels(violation.type).inc()
        if error.quotas:
            self._denied.labels().inc()

    def _count(self, decision: Decision) -> None:
        modality = decision.selection_request.requirements.modality
        if decision.selection_request.dry_run:
            self._dry_runs.labels(modality, "chosen").inc()
            return
        for rejection in decision.rejected:
            self._rejected.labels(rejection.code).inc()
        if decision.chosen is not None:
            self._chosen.labels(modality, *_labels(decision.chosen), decision.source.value).inc()
        if decision.reservation is not None:
            self._reserved.labels().inc(decision.reservation.amount_micro_usd)

    async def get(self, tenant_id: str, selection_id: str) -> bytes:
        return await self._selector.get(tenant_id, selection_id)

    async def get_by_request(self, tenant_id: str, request_id: str) -> StoredSelection | None:
        return await self._selector.get_by_request(tenant_id, request_id)

    async def list(self, tenant_id: str, job_id: str, size: int, token: str) -> Sequence[bytes]:
        return await self._selector.list(tenant_id, job_id, size, token)


def _labels(candidate: Candidate) -> tuple[str, str]:
    """Returns tool and provider, unless the candidate is restricted to some tenants."""
    return (PRIVATE, PRIVATE) if candidate.is_private else (candidate.tool_id, candidate.provider)
