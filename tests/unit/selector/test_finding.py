"""What could be chosen is judged as a selection is: the same candidates in the same order, the same reasons."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import Reason, SomaError
from mesh.rpc.sizes import MESSAGE_BYTES
from soma.registry.v1 import capability_pb2
from svc_selector.domain.candidate_rules import rank_candidates, unmet_requirements
from svc_selector.domain.decision import RankingResult
from svc_selector.domain.model import (
    Candidate,
    CostTier,
    Health,
    Lifecycle,
    Limits,
    Prices,
    SelectionRequest,
    Subject,
    UnusableReason,
)
from svc_selector.domain.permissions import Permissions
from tests.unit.selector.finding import ask, codes, ids, requirements
from tests.unit.selector.selecting import (
    D2,
    LADDER,
    MERMAID,
    NEED,
    PLANTUML,
    SUBJECT,
    SelectorHarness,
    candidate,
    selector_harness,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from soma.registry.v1.capability_service_pb2 import FindCandidatesResponse
    from svc_selector.domain.decision import Decision

    Find = Callable[[SelectionRequest, Subject], Awaitable[RankingResult]]

DRY_RUN = SelectionRequest(NEED, dry_run=True)
ANY = candidate("any@local")
CANDIDATES = st.builds(
    replace,
    st.just(ANY),
    lifecycle=st.sampled_from(Lifecycle),
    health=st.sampled_from(Health),
    circuit_open=st.booleans(),
    limits=st.sampled_from([Limits(), Limits(formats=("svg",)), Limits(max_width_px=10)]),
    task_types=st.sampled_from([("image_diagram",), ("chart",), ("chart", "image_diagram")]),
    roles=st.sampled_from([(), ("member",), ("admin",)]),
    classifications=st.sampled_from([(), ("public",)]),
    cost_tier=st.sampled_from([CostTier.FREE, CostTier.PREMIUM]),
    prices=st.sampled_from([Prices(), Prices(call=3)]),
    unusable=st.sampled_from([None, UnusableReason("SCHEMA_UNUSABLE", "its input_schema cannot be used")]),
)
NAMES = ("mermaid@local", "plantuml@local", "d2@local", "other@remote")


def named(candidates: list[Candidate]) -> list[Candidate]:
    """The candidates under names of their own."""
    return [
        replace(item, capability_id=name, tool_id=name.partition("@")[0], provider=name.partition("@")[2])
        for name, item in zip(NAMES, candidates, strict=False)
    ]


async def disagreement(made: SelectorHarness, find: Find, selection_request: SelectionRequest) -> str:
    """Where a search for candidates and a selection differ about what serves the task type; "" where they agree."""
    found = await find(selection_request, SUBJECT)
    try:
        decision: Decision | None = await made.selector.select(selection_request, SUBJECT)
    except SomaError as error:
        decision = None
        rejected = [(item.subject, item.type) for item in error.preconditions]
    else:
        rejected = [(item.capability_id, item.code) for item in decision.rejected]
    if found.ranked != (decision.ranked if decision else ()):
        return "the candidates"
    serving = made.catalog.for_task(SUBJECT.tenant_id, NEED.modality, NEED.task_type)
    told = [(item.capability_id, item.code) for item in found.rejected if item.capability_id in serving]
    return "" if told == rejected else "the reasons"


@given(
    st.lists(CANDIDATES, max_size=4).map(named),
    st.sampled_from(["", "low"]),
    st.sampled_from([NEED, replace(NEED, formats=("png",)), replace(NEED, width_px=11, params={"x": 1})]),
)
async def test_a_search_and_a_dry_run_agree(candidates: list[Candidate], tier: str, need: object) -> None:
    made = selector_harness(candidates)
    made.gateway.permissions["acme"] = Permissions("pro", max_cost_tier=tier)
    assert await disagreement(made, made.selector.find, replace(DRY_RUN, requirements=need)) == ""  # type: ignore[arg-type]
    assert made.ledger._reservations == {}
    assert await made.decisions.list("acme", "", 10, "") == []


@pytest.mark.parametrize("forgotten", [candidate("d2@local", health=Health.UNHEALTHY), replace(D2, roles=("admin",))])
async def test_a_second_ranking_is_noticed(forgotten: Candidate) -> None:
    """A planted bug: a search that judges by what a capability can do, in code of its own."""
    made = selector_harness([forgotten, MERMAID])

    async def copied(selection_request: SelectionRequest, subject: Subject) -> RankingResult:
        able = [item for item in (forgotten, MERMAID) if next(unmet_requirements(item, NEED), None) is None]
        return RankingResult(rank_candidates(able, selection_request, LADDER), (), LADDER.version, "")

    assert await disagreement(made, copied, DRY_RUN) == "the candidates"
    assert await disagreement(made, made.selector.find, DRY_RUN) == ""


async def test_all_that_could_be_chosen_is_answered_best_first() -> None:
    sinking = candidate("mermaid@local", health=Health.DEGRADED)
    assert ids(await find(sinking, PLANTUML, D2)) == ["plantuml@local", "d2@local", "mermaid@local"]
    assert LADDER.capability_ids[0] == "mermaid@local"


async def find(*candidates: Candidate, permissions: Permissions | None = None) -> FindCandidatesResponse:
    """What a viewer of acme is answered for a diagram."""
    made = selector_harness([replace(item, serialized=serialized(item)) for item in candidates])
    made.gateway.permissions["acme"] = permissions or Permissions("pro")
    return await ask(made, requirements())


def serialized(item: Candidate) -> bytes:
    return capability_pb2.Capability(capability_id=item.capability_id, tool_id=item.tool_id).SerializeToString()


async def test_each_stage_has_its_reason() -> None:
    answer = await find(
        candidate("mermaid@local", cost_tier=CostTier.LOW),
        PLANTUML,
        candidate("a@local", lifecycle=Lifecycle.DISABLED),
        candidate("b@local", limits=Limits(formats=("svg",)), task_types=("chart",)),
        candidate("c@local", roles=("admin",)),
        candidate("d@local", circuit_open=True),
        candidate("e@local", classifications=("public",), cost_tier=CostTier.LOW),
        candidate("g@local", lifecycle=Lifecycle.DISABLED, task_types=("chart",)),
        permissions=Permissions("pro", max_cost_tier="high"),
    )
    assert ids(answer) == ["mermaid@local"]
    assert codes(answer) == {
        "a@local": "DISABLED",
        "b@local": "TASK_TYPE_MISMATCH",
        "c@local": "ROLE_NOT_ALLOWED",
        "d@local": "CIRCUIT_OPEN",
        "e@local": "CLASSIFICATION_NOT_ALLOWED",
        "g@local": "DISABLED",
        "plantuml@local": "OVER_COST_TIER",
    }
    assert [item.capability_id for item in answer.left_out][-2:] == ["b@local", "g@local"]


async def test_that_nothing_is_left_is_an_answer() -> None:
    answer = await find(D2, permissions=Permissions("none"))
    assert (ids(answer), codes(answer)) == ([], {"d2@local": "PLAN_NOT_ALLOWED"})


async def test_other_modalities_and_other_tenants_are_not_mentioned() -> None:
    answer = await find(
        candidate("say@local", modalities=("audio_tts",)),
        candidate("own@acme", owner="umbrella"),
        candidate("some@local", tenants=("umbrella",)),
        candidate("chart@acme", owner="umbrella", task_types=("chart",)),
    )
    assert (ids(answer), codes(answer)) == ([], {})


async def test_a_catalog_that_is_too_stale_is_not_used() -> None:
    made = selector_harness([D2])
    made.catalog.stale_since = made.clock.now()
    await made.clock.advance(301)
    with pytest.raises(SomaError) as refused:
        await ask(made, requirements())
    assert refused.value.reason is Reason.UNAVAILABLE


async def test_a_candidate_is_shown_whole_but_for_the_names_of_other_tenants() -> None:
    whole = capability_pb2.Capability(capability_id="d2@local", description="draws")
    rest = capability_pb2.Capability(allow={"tenants": ["acme", "umbrella"], "roles": ["viewer"]})  # type: ignore[arg-type]
    rest.input_schema.update({"type": "object"})
    made = selector_harness(
        [replace(D2, serialized=whole.SerializeToString(), serialized_schemas_and_allow_lists=rest.SerializeToString())]
    )
    for role in ("viewer", "platform_admin"):
        [shown] = (await ask(made, requirements(), role=role)).candidates
        assert (shown.description, shown.input_schema["type"]) == ("draws", "object")
        assert (list(shown.allow.tenants), list(shown.allow.roles)) == (["acme"], ["viewer"])


def many(count: int, task_type: str) -> list[Candidate]:
    """So many candidates of 20 kB each, told apart by their names."""
    large = capability_pb2.Capability(description="x" * 20_000).SerializeToString()
    return [
        candidate(f"{task_type}{number:04}@local", task_types=(task_type,) * 200, serialized=large)
        for number in range(count)
    ]


async def test_candidates_beyond_a_message_are_cut() -> None:
    made = selector_harness([*many(300, "image_diagram"), *many(3, "other")])
    answer = await ask(made, requirements())
    assert answer.ByteSize() <= MESSAGE_BYTES + 50_000
    assert (answer.truncated, 40 < len(answer.candidates) < 60) == (True, True)


async def test_reasons_beyond_a_message_are_cut() -> None:
    answer = await ask(selector_harness([D2, *many(2_000, "other")]), requirements())
    assert answer.ByteSize() <= MESSAGE_BYTES + 50_000
    assert (len(answer.candidates), answer.truncated) == (1, True)


async def test_an_answer_that_fits_is_whole() -> None:
    answer = await ask(selector_harness([D2, *many(3, "other")]), requirements())
    assert (len(answer.candidates), len(answer.left_out), answer.truncated) == (1, 3, False)


@pytest.mark.parametrize("values", [[0.0] * 50_001, [float("nan")] * 200], ids=["too many", "not finite"])
async def test_parameters_that_cannot_be_checked_are_refused_by_name(values: list[float]) -> None:
    need = requirements()
    need.params.update({"x": values})
    with pytest.raises(SomaError) as refused:
        await ask(selector_harness([D2]), need)
    assert [violation.field for violation in refused.value.fields] == ["requirements.params"]
