"""What others are told of a decision: health and budget as they were seen."""

from __future__ import annotations

from datetime import UTC, datetime

from soma.registry.v1 import capability_pb2
from svc_selector.domain.model import Ask, Decision, Health, Held, Need, Offer, Ranked, Source, Subject
from svc_selector.rpc.convert import SelectionFacts

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def decision(offer: Offer, held: Held | None = None) -> Decision:
    """A decision for an offer."""
    return Decision(
        selection_id="s", ask=Ask(Need("image", "image")), subject=Subject("acme", "alice", job_id="j"), chosen=offer,
        ranked=(Ranked(offer, 1, 1, 40_000, "rung 1 of the ladder"),), rejected=(), source=Source.LADDER, reason="r",
        policy_id="p", ladder_version=1, held=held, degradation_level="MINOR", stale_since=None, decided_at=NOW,
        elapsed_us=7,
    )  # fmt: skip


def test_health_is_told_with_its_reason_as_it_was_seen() -> None:
    offer = Offer("a@b", "a", "b", ("image",), ("image",), health=Health.DEGRADED, health_reason="probes answer slowly")
    [ranked] = SelectionFacts().message(decision(offer)).ranked
    assert (ranked.health, ranked.health_reason) == (capability_pb2.HEALTH_STATE_DEGRADED, "probes answer slowly")


def test_the_budget_is_told_as_it_was_left() -> None:
    offer = Offer("a@b", "a", "b", ("image",), ("image",))
    budget = SelectionFacts().message(decision(offer, Held("r", 40_000, 60_000, NOW))).budget
    assert (budget.reserved_micro_usd, budget.remaining_micro_usd) == (40_000, 60_000)
