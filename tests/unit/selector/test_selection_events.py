"""The Selection of a decision, and its events."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.degradation import DegradationLevel
from soma.events.v1.facts_pb2 import SelectionMade, SelectionsMade
from soma.registry.v1 import capability_pb2
from soma.selector.v1 import selection_pb2
from svc_selector.domain.candidate_rules import filter_candidates
from svc_selector.domain.decision import BudgetReservation, RankedCandidate, Rejection
from svc_selector.domain.model import (
    Candidate,
    FilterStage,
    Health,
    Lifecycle,
    Limits,
    Requirements,
    SelectionRequest,
    Subject,
)
from svc_selector.events import published
from svc_selector.events.published import SelectionEvents
from svc_selector.rpc import SelectionConverter
from tests.unit.selector.deciding import NOW, decision, of


def test_health_is_converted_with_its_reason() -> None:
    candidate = Candidate(
        "a@b", "a", "b", ("image",), ("image",), health=Health.DEGRADED, health_reason="probes answer slowly"
    )
    [ranked] = SelectionConverter().to_proto(decision(candidate)).ranked
    assert (ranked.health, ranked.health_reason) == (capability_pb2.HEALTH_STATE_DEGRADED, "probes answer slowly")


def test_the_budget_is_converted_with_what_remains() -> None:
    candidate = Candidate("a@b", "a", "b", ("image",), ("image",))
    budget = SelectionConverter().to_proto(decision(candidate, BudgetReservation("r", 40_000, 60_000, NOW))).budget
    assert (budget.reserved_micro_usd, budget.remaining_micro_usd) == (40_000, 60_000)


def test_the_level_of_degradation_is_converted_as_a_value_and_as_its_name() -> None:
    for level in DegradationLevel:
        converted = SelectionConverter().to_proto(replace(decision(PLAIN), degradation_level=level))
        assert (converted.degradation, converted.degradation_level) == (level.value, level.name)


def test_why_the_first_one_was_chosen_is_converted_as_data() -> None:
    first = Candidate("a@b", "a", "b", ("image",), ("image",), health=Health.DEGRADED, lifecycle=Lifecycle.DEPRECATED)
    made = replace(
        decision(first),
        ranked=(RankedCandidate(first, 1, 3, 40_000, "r", preferred=True), RankedCandidate(PLAIN, 2, 0, 0, "r")),
        rejected=(Rejection("c@d", FilterStage.HEALTH, "UNHEALTHY", "its probes fail"),),
    )
    assert SelectionConverter().to_proto(made).basis == selection_pb2.SelectionBasis(
        ladder_position=3,
        estimated_cost_micro_usd=40_000,
        preferred=True,
        degraded=True,
        deprecated=True,
        alternatives=1,
        rejections=1,
    )


def test_that_nothing_was_left_is_converted_as_data() -> None:
    refused = Rejection("a@b", FilterStage.BUDGET, "BUDGET_EXCEEDED", "too dear", cost_micro_usd=40_000)
    converted = SelectionConverter().to_proto(replace(decision(PLAIN), chosen=None, ranked=(), rejected=(refused,)))
    assert converted.basis == selection_pb2.SelectionBasis(rejections=1)
    assert converted.rejected[0].estimated_cost_micro_usd == 40_000


def test_a_limit_is_converted_with_what_was_needed() -> None:
    small = replace(PLAIN, limits=Limits(max_width_px=512))
    need = SelectionRequest(Requirements("image", "image", width_px=1_024))
    _, rejected = filter_candidates([small], need, Subject("acme", "alice"), {})
    [converted] = SelectionConverter().to_proto(replace(decision(PLAIN), rejected=tuple(rejected))).rejected
    assert (converted.code, converted.needed, converted.limit) == ("TOO_WIDE", 1_024, 512)


def test_a_rejection_without_a_limit_has_no_amounts() -> None:
    refused = Rejection("a@b", FilterStage.HEALTH, "UNHEALTHY", "its probes fail")
    [converted] = SelectionConverter().to_proto(replace(decision(PLAIN), rejected=(refused,))).rejected
    assert not any(converted.HasField(name) for name in ("needed", "limit", "estimated_cost_micro_usd"))


PLAIN = Candidate("a@b", "a", "b", ("image",), ("image",))


def test_each_decision_of_a_job_has_an_event_in_order() -> None:
    made = [of("acme", "j1", PLAIN), of("acme", "j2", PLAIN), of("acme", "j1", PLAIN)]
    events = SelectionEvents(SelectionConverter()).from_decisions(made)
    assert [(event.key, event.tenant_id, event.type) for event in events] == [
        (job_id, "acme", "soma.events.v1.SelectionMade") for job_id in ("j1", "j2", "j1")
    ]
    converted = [SelectionMade.FromString(event.payload).selection for event in events]
    assert converted == [SelectionConverter().to_proto(each) for each in made]


def test_other_decisions_of_a_tenant_share_an_event() -> None:
    made = [of("acme", "", PLAIN), of("umbrella", "", PLAIN), of("acme", "", PLAIN), of("acme", "j", PLAIN)]
    job, acme, umbrella = SelectionEvents(SelectionConverter()).from_decisions(made)
    assert (job.key, acme.key, umbrella.key) == ("j", "acme", "umbrella")
    assert {acme.type, umbrella.type} == {"soma.events.v1.SelectionsMade"}
    to_proto = SelectionConverter().to_proto
    assert list(SelectionsMade.FromString(acme.payload).selections) == [to_proto(made[0]), to_proto(made[2])]
    assert list(SelectionsMade.FromString(umbrella.payload).selections) == [to_proto(made[1])]
    assert (acme.tenant_id, umbrella.tenant_id) == ("acme", "umbrella")


def test_no_event_grows_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [of("acme", "", PLAIN) for _ in range(5)]
    monkeypatch.setattr(published, "MAX_EVENT_BYTES", 2 * len(SelectionConverter().to_bytes(made[0])) + 1)
    events = SelectionEvents(SelectionConverter()).from_decisions(made)
    converted = [each.selection_id for event in events for each in SelectionsMade.FromString(event.payload).selections]
    assert converted == [each.selection_id for each in made]
    assert [len(SelectionsMade.FromString(event.payload).selections) for event in events] == [2, 2, 1]
    assert len({event.event_id for event in events}) == 3


def test_a_selection_larger_than_the_limit_has_an_event_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "MAX_EVENT_BYTES", 1)
    assert (
        len(SelectionEvents(SelectionConverter()).from_decisions([of("acme", "", PLAIN), of("acme", "", PLAIN)])) == 2
    )


@pytest.mark.parametrize("job_id", ["", "j"])
def test_an_event_carries_what_an_audit_entry_says(job_id: str) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    made = replace(of("acme", job_id, PLAIN), actor="executor", traceparent=traceparent)
    [event] = SelectionEvents(SelectionConverter()).from_decisions([made])
    if job_id:
        selection = SelectionMade.FromString(event.payload).selection
    else:
        [selection] = SelectionsMade.FromString(event.payload).selections
    assert event.tenant_id == "acme"
    assert (selection.subject, selection.actor) == ("alice", "executor")
    assert (selection.selection_id, selection.policy_id) == (made.selection_id, "p")
    assert selection.trace_id == "0af7651916cd43dd8448eb211c80319c"
