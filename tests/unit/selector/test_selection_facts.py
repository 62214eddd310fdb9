"""What others are told of a decision: health and budget as they were seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.degradation import DegradationLevel
from soma.events.v1.facts_pb2 import SelectionMade, SelectionsMade
from soma.registry.v1 import capability_pb2
from soma.selector.v1 import selection_pb2
from svc_selector.domain.candidate_rules import filter_candidates
from svc_selector.domain.decision import BudgetReservation, Ranked, Rejection
from svc_selector.domain.model import (
    Candidate,
    Health,
    Judgement,
    Lifecycle,
    Limits,
    Requirements,
    SelectionRequest,
    Subject,
)
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


def test_the_level_of_degradation_is_told_as_a_value_and_as_its_name() -> None:
    for level in DegradationLevel:
        told = SelectionFacts().message(replace(decision(PLAIN), degradation_level=level))
        assert (told.degradation, told.degradation_level) == (level.value, level.name)


def test_why_the_first_one_won_is_told_as_data() -> None:
    first = Candidate("a@b", "a", "b", ("image",), ("image",), health=Health.DEGRADED, lifecycle=Lifecycle.DEPRECATED)
    made = replace(
        decision(first),
        ranked=(Ranked(first, 1, 3, 40_000, "r", preferred=True), Ranked(PLAIN, 2, 0, 0, "r")),
        rejected=(Rejection("c@d", Judgement.HEALTH, "UNHEALTHY", "its probes fail"),),
    )
    assert SelectionFacts().message(made).basis == selection_pb2.SelectionBasis(
        ladder_position=3,
        estimated_cost_micro_usd=40_000,
        preferred=True,
        degraded=True,
        deprecated=True,
        alternatives=1,
        rejections=1,
    )


def test_that_nothing_was_left_is_told_as_data() -> None:
    refused = Rejection("a@b", Judgement.BUDGET, "BUDGET_EXCEEDED", "too dear", cost_micro_usd=40_000)
    told = SelectionFacts().message(replace(decision(PLAIN), chosen=None, ranked=(), rejected=(refused,)))
    assert told.basis == selection_pb2.SelectionBasis(rejections=1)
    assert told.rejected[0].estimated_cost_micro_usd == 40_000


def test_a_limit_is_told_with_what_was_needed() -> None:
    small = replace(PLAIN, limits=Limits(max_width_px=512))
    need = SelectionRequest(Requirements("image", "image", width_px=1_024))
    _, rejected = filter_candidates([small], need, Subject("acme", "alice"), {})
    [told] = SelectionFacts().message(replace(decision(PLAIN), rejected=tuple(rejected))).rejected
    assert (told.code, told.needed, told.limit) == ("TOO_WIDE", 1_024, 512)


def test_a_rejection_without_a_limit_has_no_figures() -> None:
    refused = Rejection("a@b", Judgement.HEALTH, "UNHEALTHY", "its probes fail")
    [told] = SelectionFacts().message(replace(decision(PLAIN), rejected=(refused,))).rejected
    assert not any(told.HasField(name) for name in ("needed", "limit", "estimated_cost_micro_usd"))


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
