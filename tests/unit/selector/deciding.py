"""Decisions for tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mesh.degradation import DegradationLevel
from mesh.ids import SystemIds
from svc_selector.domain.decision import Decision, RankedCandidate
from svc_selector.domain.model import Candidate, DecisionSource, Requirements, SelectionRequest, Subject

if TYPE_CHECKING:
    from svc_selector.domain.decision import BudgetReservation

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def decision(candidate: Candidate, reservation: BudgetReservation | None = None) -> Decision:
    """A decision for a candidate."""
    return Decision(
        selection_id="s", selection_request=SelectionRequest(Requirements("image", "image")),
        subject=Subject("acme", "alice", job_id="j"), chosen=candidate,
        ranked=(RankedCandidate(candidate, 1, 1, 40_000, "rung 1 of the ladder"),), rejected=(),
        source=DecisionSource.LADDER, reason="r",
        policy_id="p", ladder_version=1, reservation=reservation, stale_since=None,
        degradation_level=DegradationLevel.MINOR,
        decided_at=NOW,
        elapsed_us=7,
    )  # fmt: skip


def of(tenant_id: str, job_id: str, candidate: Candidate) -> Decision:
    """A decision with an id of its own."""
    subject = Subject(tenant_id, "alice", job_id=job_id)
    return replace(decision(candidate), selection_id=SystemIds().new(), subject=subject)
