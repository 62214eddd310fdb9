"""Decisions for tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mesh.ids import SystemIds
from svc_selector.domain.decision import Decision, Ranked
from svc_selector.domain.model import Ask, Need, Offer, Source, Subject

if TYPE_CHECKING:
    from svc_selector.domain.decision import Held

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def decision(offer: Offer, held: Held | None = None) -> Decision:
    """A decision for an offer."""
    return Decision(
        selection_id="s", ask=Ask(Need("image", "image")), subject=Subject("acme", "alice", job_id="j"), chosen=offer,
        ranked=(Ranked(offer, 1, 1, 40_000, "rung 1 of the ladder"),), rejected=(), source=Source.LADDER, reason="r",
        policy_id="p", ladder_version=1, held=held, degradation_level="MINOR", stale_since=None, decided_at=NOW,
        elapsed_us=7,
    )  # fmt: skip


def of(tenant_id: str, job_id: str, offer: Offer) -> Decision:
    """A decision with an id of its own."""
    subject = Subject(tenant_id, "alice", job_id=job_id)
    return replace(decision(offer), selection_id=SystemIds().new(), subject=subject)
