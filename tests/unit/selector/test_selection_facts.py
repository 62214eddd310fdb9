"""What others are told of a decision: health and budget as they were seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from soma.events.v1.facts_pb2 import SelectionMade, SelectionsMade
from soma.registry.v1 import capability_pb2
from svc_selector.domain.decision import BudgetReservation
from svc_selector.domain.model import Candidate, Health
from svc_selector.rpc import facts
from svc_selector.rpc.facts import SelectionFacts
from tests.unit.selector.deciding import NOW, decision, of


def test_health_is_told_with_its_reason_as_it_was_seen() -> None:
    candidate = Candidate(
        "a@b", "a", "b", ("image",), ("image",), health=Health.DEGRADED, health_reason="probes answer slowly"
    )
    [ranked] = SelectionFacts().message(decision(candidate)).ranked
    assert (ranked.health, ranked.health_reason) == (capability_pb2.HEALTH_STATE_DEGRADED, "probes answer slowly")


def test_the_budget_is_told_as_it_was_left() -> None:
    candidate = Candidate("a@b", "a", "b", ("image",), ("image",))
    budget = SelectionFacts().message(decision(candidate, BudgetReservation("r", 40_000, 60_000, NOW))).budget
    assert (budget.reserved_micro_usd, budget.remaining_micro_usd) == (40_000, 60_000)


PLAIN = Candidate("a@b", "a", "b", ("image",), ("image",))


def test_choices_of_jobs_are_told_one_by_one_in_order() -> None:
    made = [of("acme", "j1", PLAIN), of("acme", "j2", PLAIN), of("acme", "j1", PLAIN)]
    events = SelectionFacts().events(made)
    assert [(event.key, event.tenant_id, event.type) for event in events] == [
        (job_id, "acme", "soma.events.v1.SelectionMade") for job_id in ("j1", "j2", "j1")
    ]
    told = [SelectionMade.FromString(event.payload).selection for event in events]
    assert told == [SelectionFacts().message(each) for each in made]


def test_other_choices_of_a_tenant_are_told_together() -> None:
    made = [of("acme", "", PLAIN), of("umbrella", "", PLAIN), of("acme", "", PLAIN), of("acme", "j", PLAIN)]
    job, acme, umbrella = SelectionFacts().events(made)
    assert (job.key, acme.key, umbrella.key) == ("j", "acme", "umbrella")
    assert {acme.type, umbrella.type} == {"soma.events.v1.SelectionsMade"}
    message = SelectionFacts().message
    assert list(SelectionsMade.FromString(acme.payload).selections) == [message(made[0]), message(made[2])]
    assert list(SelectionsMade.FromString(umbrella.payload).selections) == [message(made[1])]
    assert (acme.tenant_id, umbrella.tenant_id) == ("acme", "umbrella")


def test_no_event_grows_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [of("acme", "", PLAIN) for _ in range(5)]
    monkeypatch.setattr(facts, "MAX_EVENT_BYTES", 2 * len(SelectionFacts().document(made[0])) + 1)
    events = SelectionFacts().events(made)
    told = [each.selection_id for event in events for each in SelectionsMade.FromString(event.payload).selections]
    assert told == [each.selection_id for each in made]
    assert [len(SelectionsMade.FromString(event.payload).selections) for event in events] == [2, 2, 1]
    assert len({event.event_id for event in events}) == 3


def test_one_that_alone_is_too_large_is_told_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "MAX_EVENT_BYTES", 1)
    assert len(SelectionFacts().events([of("acme", "", PLAIN), of("acme", "", PLAIN)])) == 2


@pytest.mark.parametrize("job_id", ["", "j"])
def test_an_event_carries_what_an_audit_entry_says(job_id: str) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    made = replace(of("acme", job_id, PLAIN), actor="executor", traceparent=traceparent)
    [event] = SelectionFacts().events([made])
    if job_id:
        selection = SelectionMade.FromString(event.payload).selection
    else:
        [selection] = SelectionsMade.FromString(event.payload).selections
    assert event.tenant_id == "acme"
    assert (selection.subject, selection.actor) == ("alice", "executor")
    assert (selection.selection_id, selection.policy_id) == (made.selection_id, "p")
    assert selection.trace_id == "0af7651916cd43dd8448eb211c80319c"
