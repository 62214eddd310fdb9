"""A caller chooses within its permissions, and the answer says where they changed what was asked for."""

from __future__ import annotations

import pytest

from mesh.errors import Reason, SomaError
from soma.registry.v1.capability_pb2 import COST_TIER_LOW, COST_TIER_PREMIUM
from soma.selector.v1.selection_pb2 import Selection, SubjectContext
from svc_selector.domain.model import Candidate, CostTier
from svc_selector.domain.permissions import CLASSIFICATIONS, Permissions
from tests.contract.selector.serving import request, serving
from tests.unit.selector.selecting import D2, candidate

EVERYTHING = ("public", "internal", "sensitive", "confidential")
OPEN = candidate("d2@local", classifications=EVERYTHING)
FREE, DEAR = candidate("d2@local", cost_tier=CostTier.FREE), candidate("mermaid@local", cost_tier=CostTier.PREMIUM)


async def select(permissions: Permissions, *candidates: Candidate, **fields: object) -> Selection:
    async with serving(candidates, permissions) as selector:
        return await selector.stub.Select(request(**fields))


async def codes(permissions: Permissions, *candidates: Candidate, **fields: object) -> dict[str, str]:
    """The code against each of the capabilities, none of which is left."""
    with pytest.raises(SomaError) as refused:
        await select(permissions, *candidates, **fields)
    return {item.subject: item.type for item in refused.value.preconditions}


@pytest.mark.parametrize("floor", CLASSIFICATIONS)
@pytest.mark.parametrize("given", ["", *CLASSIFICATIONS])
async def test_a_classification_is_raised_to_the_floor_and_never_lowered(given: str, floor: str) -> None:
    about = SubjectContext(data_classification=given)
    answer = await select(Permissions("pro", classification_floor=floor), OPEN, subject_context=about)
    asked = given or "internal"
    judged = max(asked, floor, key=CLASSIFICATIONS.index)
    assert answer.subject_context.data_classification == judged
    assert answer.requested_data_classification == (asked if judged != asked else "")


async def test_policy_judges_by_the_raised_classification() -> None:
    strict = Permissions("pro", classification_floor="sensitive")
    about = SubjectContext(data_classification="public")
    assert await codes(strict, D2, subject_context=about) == {"d2@local": "CLASSIFICATION_NOT_ALLOWED"}


async def test_a_floor_that_is_not_known_is_stricter_than_all() -> None:
    newer = Permissions("pro", classification_floor="secret")
    assert await codes(newer, OPEN) == {"d2@local": "CLASSIFICATION_NOT_ALLOWED"}


@pytest.mark.parametrize("name", ["persona", "capsule"])
async def test_a_name_that_the_caller_may_not_use_is_refused(name: str) -> None:
    mine = Permissions("pro", personas=("mine",), capsules=("mine",))
    about = SubjectContext(**{name: "theirs"})
    with pytest.raises(SomaError) as refused:
        await select(mine, OPEN, subject_context=about)
    assert refused.value.reason is Reason.PERMISSION_DENIED
    assert refused.value.metadata["field"] == f"subject_context.{name}"
    assert [violation.field for violation in refused.value.fields] == [f"subject_context.{name}"]


@pytest.mark.parametrize("name", ["persona", "capsule"])
async def test_a_name_that_the_caller_may_use_passes(name: str) -> None:
    mine = Permissions("pro", personas=("mine",), capsules=("mine",))
    answer = await select(mine, OPEN, subject_context=SubjectContext(**{name: "mine"}))
    assert getattr(answer.subject_context, name) == "mine"


async def test_a_capability_for_a_persona_cannot_be_had_by_naming_it() -> None:
    guarded = candidate("d2@local", personas=("analyst",))
    with pytest.raises(SomaError) as refused:
        await select(Permissions("pro"), guarded, subject_context=SubjectContext(persona="analyst"))
    assert refused.value.reason is Reason.PERMISSION_DENIED


async def test_denied_providers_and_tools_are_left_out() -> None:
    other = candidate("mermaid@elsewhere")
    denied = Permissions("pro", denied_providers=("elsewhere",), denied_tools=("d2",))
    assert await codes(denied, D2, other) == dict.fromkeys(("d2@local", "mermaid@elsewhere"), "TENANT_PERMISSION")


async def test_the_tier_of_the_tenant_is_a_limit() -> None:
    answer = await select(Permissions("pro", max_cost_tier="low"), DEAR, FREE)
    assert [item.capability_id for item in answer.ranked] == ["d2@local"]
    assert [(item.capability_id, item.code) for item in answer.rejected] == [("mermaid@local", "OVER_COST_TIER")]


async def test_the_tier_of_the_request_is_a_limit_and_is_told() -> None:
    answer = await select(Permissions("pro"), DEAR, FREE, max_cost_tier=COST_TIER_LOW)
    assert [(item.capability_id, item.code) for item in answer.rejected] == [("mermaid@local", "OVER_COST_TIER")]
    assert answer.max_cost_tier == COST_TIER_LOW


async def test_a_request_does_not_raise_the_tier_of_the_tenant() -> None:
    low = Permissions("pro", max_cost_tier="low")
    assert await codes(low, DEAR, max_cost_tier=COST_TIER_PREMIUM) == {"mermaid@local": "OVER_COST_TIER"}


async def test_what_names_no_tier_counts_as_the_highest() -> None:
    assert await codes(Permissions("pro", max_cost_tier="high"), D2) == {"d2@local": "OVER_COST_TIER"}
    assert (await select(Permissions("pro", max_cost_tier="premium"), D2)).ranked


@pytest.mark.parametrize("plan", ["", "none", "dev", "trial"])
async def test_without_a_plan_that_counts_in_production_nothing_is_chosen(plan: str) -> None:
    assert await codes(Permissions(plan), D2) == {"d2@local": "PLAN_NOT_ALLOWED"}


async def test_what_a_caller_may_use_now_is_what_is_judged_by() -> None:
    async with serving([D2], Permissions("pro")) as selector:
        await selector.stub.Select(request())
        selector.harness.gateway.permissions["acme"] = Permissions("pro", denied_tools=("d2",))
        with pytest.raises(SomaError) as refused:
            await selector.stub.Select(request())
        assert [item.type for item in refused.value.preconditions] == ["TENANT_PERMISSION"]
