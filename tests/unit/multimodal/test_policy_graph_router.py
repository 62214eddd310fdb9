"""The selector's judgements: who is left, who leads, and what is said of the others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import Reason, SomaError
from mesh.json_schema import compile_schema
from svc_selector.adapters.catalog import Catalog
from svc_selector.domain.candidate_rules import filter_candidates, rank_candidates
from svc_selector.domain.model import (
    DecisionSource,
    FilterStage,
    Health,
    Lifecycle,
    Prices,
    SelectionRequest,
    Units,
)
from svc_selector.domain.pricing import greatest_cost_micro_usd
from svc_selector.rpc import SelectionConverter
from tests.unit.selector.selecting import (
    D2,
    LADDER,
    MERMAID,
    NEED,
    PLANTUML,
    SUBJECT,
    SilentPolicy,
    candidate,
    selector_harness,
)


async def test_the_first_healthy_rung_is_chosen_and_the_rest_is_ranked() -> None:
    decision = await selector_harness([D2, PLANTUML, MERMAID]).selector.select(SelectionRequest(NEED), SUBJECT)
    assert [item.candidate.capability_id for item in decision.ranked] == ["mermaid@local", "plantuml@local", "d2@local"]
    assert (decision.chosen, decision.source) == (MERMAID, DecisionSource.LADDER)
    assert "rung 1 of the ladder" in decision.reason


async def test_an_unhealthy_first_rung_is_left_out_with_its_reason() -> None:
    sick = candidate("mermaid@local", health=Health.UNHEALTHY, health_reason="three probes failed")
    decision = await selector_harness([sick, PLANTUML]).selector.select(SelectionRequest(NEED), SUBJECT)
    assert decision.chosen == PLANTUML
    [out] = decision.rejected
    assert (out.stage, out.code, out.reason) == (FilterStage.HEALTH, "UNHEALTHY", "three probes failed")


async def test_a_degraded_one_sinks_below_healthy_ones() -> None:
    decision = await selector_harness([candidate("mermaid@local", health=Health.DEGRADED), D2]).selector.select(
        SelectionRequest(NEED), SUBJECT
    )
    assert [item.candidate.tool_id for item in decision.ranked] == ["d2", "mermaid"]


async def test_a_preference_leads_within_what_is_allowed() -> None:
    decision = await selector_harness([MERMAID, D2]).selector.select(
        SelectionRequest(NEED, preferred_tool="d2"), SUBJECT
    )
    assert (decision.chosen, decision.source) == (D2, DecisionSource.PREFERENCE)


async def test_a_preference_for_what_policy_denies_is_of_no_use() -> None:
    remote = candidate("cloud@remote", needs_egress=True, classifications=("sensitive",))
    local = candidate("d2@local", classifications=("sensitive",))
    subject = replace(SUBJECT, classification="sensitive")
    decision = await selector_harness([remote, local]).selector.select(
        SelectionRequest(NEED, preferred_provider="remote"), subject
    )
    assert decision.chosen == local
    [out] = decision.rejected
    assert (out.stage, out.code) == (FilterStage.POLICY, "CLASSIFICATION_NOT_ALLOWED")


async def test_a_fallback_says_what_came_before() -> None:
    selection_request = SelectionRequest(NEED, exclude=("mermaid@local",), fallback_reason="UNAVAILABLE: no answer")
    decision = await selector_harness([MERMAID, PLANTUML]).selector.select(selection_request, SUBJECT)
    assert (decision.chosen, decision.source) == (PLANTUML, DecisionSource.FALLBACK)
    assert decision.reason.startswith("after UNAVAILABLE: no answer")


async def test_force_is_honoured_only_where_it_is_switched_on() -> None:
    sick = candidate("d2@local", health=Health.UNHEALTHY)
    selection_request = SelectionRequest(NEED, force="d2@local")
    assert (await selector_harness([MERMAID, sick]).selector.select(selection_request, SUBJECT)).chosen == MERMAID
    forced = await selector_harness([MERMAID, sick], allow_force=True).selector.select(selection_request, SUBJECT)
    assert (forced.chosen, forced.source) == (sick, DecisionSource.FORCED)


async def test_nothing_left_lists_every_rejection() -> None:
    sick = [candidate("mermaid@local", health=Health.UNHEALTHY), candidate("d2@local", lifecycle=Lifecycle.DISABLED)]
    with pytest.raises(SomaError) as refused:
        await selector_harness(sick).selector.select(SelectionRequest(NEED), SUBJECT)
    assert refused.value.reason is Reason.NO_CAPABLE_CAPABILITY
    assert {(item.subject, item.type) for item in refused.value.preconditions} == {
        ("mermaid@local", "UNHEALTHY"),
        ("d2@local", "DISABLED"),
    }


async def test_an_unknown_tenant_is_denied_by_policy() -> None:
    with pytest.raises(SomaError) as refused:
        await selector_harness([D2]).selector.select(SelectionRequest(NEED), replace(SUBJECT, tenant_id="nobody"))
    assert [item.type for item in refused.value.preconditions] == ["PLAN_NOT_ALLOWED"]


async def test_another_tenants_offer_is_not_even_mentioned() -> None:
    theirs = candidate("secret@umbrella", tenants=("umbrella",))
    decision = await selector_harness([D2, theirs]).selector.select(SelectionRequest(NEED), SUBJECT)
    assert "secret" not in str((decision.ranked, decision.rejected))


async def test_the_cheaper_one_is_taken_where_the_budget_does_not_bear_the_first() -> None:
    dear = candidate("mermaid@local", prices=Prices(call=600))
    cheap = candidate("d2@local", prices=Prices(call=100))
    decision = await selector_harness([dear, cheap], limit=500).selector.select(SelectionRequest(NEED), SUBJECT)
    assert decision.chosen == cheap
    assert decision.reservation is not None
    assert (decision.reservation.amount_micro_usd, decision.reservation.remaining_micro_usd) == (100, 400)
    assert [item.stage for item in decision.rejected] == [FilterStage.BUDGET]


async def test_only_a_budget_in_the_way_is_a_quota_failure() -> None:
    with pytest.raises(SomaError) as refused:
        await selector_harness([candidate("d2@local", prices=Prices(call=600))], limit=500).selector.select(
            SelectionRequest(NEED), SUBJECT
        )
    assert refused.value.reason is Reason.BUDGET_EXCEEDED
    assert refused.value.quotas


async def test_a_dry_run_reserves_and_records_nothing() -> None:
    made = selector_harness([candidate("d2@local", prices=Prices(call=600))])
    decision = await made.selector.select(SelectionRequest(NEED, dry_run=True), SUBJECT)
    assert (decision.selection_id, decision.reservation) == ("", None)
    assert (await made.ledger.list_budgets("acme"))[0].reserved_micro_usd == 0
    assert list(await made.selector.list("acme", "", 10, "")) == []


async def test_before_the_registry_was_heard_nothing_is_chosen() -> None:
    made = selector_harness([D2])
    made.selector._candidates = Catalog()
    with pytest.raises(SomaError) as refused:
        await made.selector.select(SelectionRequest(NEED), SUBJECT)
    assert refused.value.reason is Reason.UNAVAILABLE


async def test_a_stale_view_is_marked_then_refused() -> None:
    made = selector_harness([D2])
    made.catalog.stale_since = made.clock.now()
    assert (await made.selector.select(SelectionRequest(NEED), SUBJECT)).stale_since == made.clock.now()
    await made.clock.advance(301)
    with pytest.raises(SomaError) as refused:
        await made.selector.select(SelectionRequest(NEED), SUBJECT)
    assert refused.value.metadata["component"] == "registry"


async def test_parameters_that_do_not_fit_leave_an_offer_out() -> None:
    picky = candidate("d2@local", schema=compile_schema({"type": "object", "required": ["diagram"]}))
    need = replace(NEED, params={"source": "x"})
    with pytest.raises(SomaError) as refused:
        await selector_harness([picky]).selector.select(SelectionRequest(need), SUBJECT)
    assert [item.type for item in refused.value.preconditions] == ["PARAMS_MISMATCH"]


async def test_a_decision_can_be_explained_afterwards() -> None:
    made = selector_harness([D2])
    decision = await made.selector.select(SelectionRequest(NEED), SUBJECT)
    assert await made.selector.get("acme", decision.selection_id) == SelectionConverter().to_bytes(decision)
    with pytest.raises(SomaError) as hidden:
        await made.selector.get("umbrella", decision.selection_id)
    assert hidden.value.reason is Reason.NOT_FOUND


async def test_a_policy_without_a_verdict_denies() -> None:
    made = selector_harness([D2], policy=SilentPolicy())
    with pytest.raises(SomaError) as refused:
        await made.selector.select(SelectionRequest(NEED), SUBJECT)
    assert [item.type for item in refused.value.preconditions] == ["POLICY_DENIED"]


NAMES = st.lists(st.sampled_from(["mermaid@local", "plantuml@local", "d2@local", "x@y", "z@y"]), unique=True)


@given(NAMES, st.data())
def test_no_order_puts_a_degraded_offer_before_a_healthy_one(names: list[str], data: st.DataObject) -> None:
    candidates = [
        candidate(name, health=data.draw(st.sampled_from([Health.HEALTHY, Health.DEGRADED]))) for name in names
    ]
    ranked = [
        item.candidate.health
        for item in rank_candidates(candidates, SelectionRequest(NEED, preferred_tool="d2"), LADDER)
    ]
    assert ranked == sorted(ranked, key=lambda health: health is Health.DEGRADED)


@given(NAMES, NAMES, st.sets(st.sampled_from(["member", "admin"])))
def test_every_offer_is_either_left_or_rejected_with_a_reason(
    names: list[str], exclude: list[str], roles: set[str]
) -> None:
    candidates = [candidate(name, roles=("admin",) if name.endswith("y") else ()) for name in names]
    left, rejected = filter_candidates(
        candidates, SelectionRequest(NEED, exclude=tuple(exclude)), replace(SUBJECT, roles=tuple(roles)), {}
    )
    assert sorted([*(item.capability_id for item in left), *(item.capability_id for item in rejected)]) == sorted(names)
    assert all(item.code and item.reason for item in rejected)
    assert not {item.capability_id for item in left} & set(exclude)


def test_costs_add_up_and_round_up() -> None:
    prices = Prices(call=10, image=5, second=3, input_token=1, output_token=2)
    assert (
        greatest_cost_micro_usd(prices, Units(calls=2, images=3, seconds=0.5, input_tokens=7, output_tokens=11))
        == 20 + 15 + 2 + 7 + 22
    )


def test_prices_finer_than_a_millionth_of_a_dollar_add_up_before_rounding() -> None:
    prices = Prices(output_token=1, per_million=Prices(input_token=150_000, output_token=600_000))
    assert greatest_cost_micro_usd(prices, Units(input_tokens=10, output_tokens=5)) == 10  # 1.5 + 8
    assert greatest_cost_micro_usd(prices, Units(input_tokens=1_000_000)) == 150_000
