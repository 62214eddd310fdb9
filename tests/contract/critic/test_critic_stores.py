"""What every store of rubrics and evaluations promises."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.events.outbox import Outbox
from mesh.idempotency import NO_KEY, RequestKey
from mesh.ids import SystemIds
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing.audit import auditor
from mesh.testing.clock import START
from soma.events.v1 import facts_pb2
from svc_critic.adapters.postgres import PostgresEvaluationStore, PostgresRubricStore
from svc_critic.domain.evaluation import Evaluation, ListQuery, Origin
from svc_critic.domain.rubric import Criterion, Dimension, Rubric
from svc_critic.domain.scoring import CriterionScore, Feedback
from svc_critic.events.published import evaluation_done
from tests.in_memory.critic import MemoryEvaluationStore, MemoryRubricStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from svc_critic.app.ports import EvaluationStore, RubricStore
    from tests.conftest import Database

IDS = SystemIds()
NOBODY = NO_KEY
UNKNOWN = "00000000-0000-7000-8000-000000000000"


@dataclass
class Store:
    rubrics: RubricStore
    evaluations: EvaluationStore
    postgres: Postgres | None = None


@pytest.fixture
async def postgres_store(database: Database) -> AsyncIterator[Store]:
    async with Postgres.open(await database("critic")) as postgres:
        evaluations = PostgresEvaluationStore(postgres, Outbox(), evaluation_done)
        yield Store(PostgresRubricStore(postgres, auditor("critic")), evaluations, postgres)


@pytest.fixture
def memory_store() -> Store:
    return Store(MemoryRubricStore(), MemoryEvaluationStore())


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    found: Store = request.getfixturevalue(f"{request.param}_store")
    return found


def rubric(**changes: object) -> Rubric:
    made = Rubric(
        criteria=(Criterion(Dimension.CLARITY, 0.5, 0.7, "clear"), Criterion(Dimension.RELEVANCE, 0.5, 0.6)),
        min_overall_score=0.65,
        rubric_id=IDS.new(),
        asset_type="diagram",
        display_name="Ours",
        version=1,
        updated_at=START,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def evaluation(**changes: object) -> Evaluation:
    made = Evaluation(
        evaluation_id=IDS.new(),
        tenant_id="acme",
        asset_id=IDS.new(),
        asset_type="diagram",
        passes=False,
        score=0.5,
        min_overall_score=0.65,
        criteria=(CriterionScore(Dimension.CLARITY, 0.5, 0.7, 1.0, passes=False, evidence="dim"),),
        feedback=(Feedback(Dimension.CLARITY, "LOW_CONTRAST", "Use darker ink.", {"min_contrast": 4.5}),),
        evaluator="heuristics/diagram",
        rubric_id="default-diagram",
        rubric_version=1,
        cost_micro_usd=0,
        elapsed_ms=120,
        origin=Origin("job-1", "step-1", "execution-1", "mermaid"),
        created_at=START,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


async def test_a_rubric_comes_back_as_it_was_saved(store: Store) -> None:
    made = rubric()
    assert await store.rubrics.save("acme", made, 0, NOBODY) == made
    assert await store.rubrics.get("acme", made.rubric_id) == made


async def test_an_unknown_rubric_is_none(store: Store) -> None:
    assert await store.rubrics.get("acme", UNKNOWN) is None
    assert await store.rubrics.get("acme", "not-an-id") is None
    assert await store.rubrics.delete("acme", UNKNOWN) is None


async def test_rubrics_belong_to_one_tenant(store: Store) -> None:
    made = rubric(is_default=True)
    await store.rubrics.save("acme", made, 0, NOBODY)
    assert await store.rubrics.get("umbrella", made.rubric_id) is None
    assert await store.rubrics.get_default("umbrella", "diagram") is None
    assert await store.rubrics.list("umbrella", "", "", 10) == []
    assert await store.rubrics.delete("umbrella", made.rubric_id) is None
    assert await store.rubrics.get("acme", made.rubric_id) == made


async def test_only_the_expected_version_is_replaced(store: Store) -> None:
    first = rubric()
    await store.rubrics.save("acme", first, 0, NOBODY)
    second = replace(first, version=2, display_name="Stricter")
    assert await store.rubrics.save("acme", second, 1, NOBODY) == second
    assert await store.rubrics.save("acme", replace(first, version=2), 1, NOBODY) is None
    assert await store.rubrics.save("acme", first, 0, NOBODY) is None
    assert await store.rubrics.get("acme", first.rubric_id) == second


async def test_of_many_writers_of_one_version_one_wins(store: Store) -> None:
    first = rubric()
    await store.rubrics.save("acme", first, 0, NOBODY)
    tries = [
        store.rubrics.save("acme", replace(first, version=2, display_name=str(number)), 1, NOBODY)
        for number in range(8)
    ]
    done = await asyncio.gather(*tries)
    assert sum(saved is not None for saved in done) == 1


async def test_a_repeated_request_changes_nothing(store: Store) -> None:
    once = RequestKey.for_request("r-1", b"digest")
    first = rubric()
    await store.rubrics.save("acme", first, 0, once)
    assert await store.rubrics.save("acme", rubric(), 0, once) == first
    assert await store.rubrics.list("acme", "", "", 10) == [first]


async def test_the_same_request_at_once_makes_one_rubric(store: Store) -> None:
    once = RequestKey.for_request("r-1", b"digest")
    done = await asyncio.gather(*(store.rubrics.save("acme", rubric(), 0, once) for _ in range(6)))
    assert len({saved.rubric_id for saved in done if saved is not None}) == 1
    assert len(await store.rubrics.list("acme", "", "", 10)) == 1


async def test_a_request_id_serves_one_body(store: Store) -> None:
    await store.rubrics.save("acme", rubric(), 0, RequestKey.for_request("r-1", b"digest"))
    with pytest.raises(SomaError) as refused:
        await store.rubrics.save("acme", rubric(), 0, RequestKey.for_request("r-1", b"another"))
    assert refused.value.reason is Reason.IDEMPOTENCY_MISMATCH


async def test_request_ids_of_tenants_do_not_meet(store: Store) -> None:
    once = RequestKey.for_request("r-1", b"digest")
    await store.rubrics.save("acme", rubric(), 0, once)
    theirs = rubric()
    assert await store.rubrics.save("umbrella", theirs, 0, RequestKey.for_request("r-1", b"another")) == theirs


async def test_the_newest_default_takes_the_role(store: Store) -> None:
    first, second = rubric(is_default=True), rubric(is_default=True)
    await store.rubrics.save("acme", first, 0, NOBODY)
    await store.rubrics.save("acme", second, 0, NOBODY)
    assert await store.rubrics.get_default("acme", "diagram") == second
    before = await store.rubrics.get("acme", first.rubric_id)
    assert before is not None
    assert not before.is_default


async def test_a_save_that_lost_takes_no_role(store: Store) -> None:
    first, second = rubric(is_default=True), rubric()
    await store.rubrics.save("acme", first, 0, NOBODY)
    await store.rubrics.save("acme", second, 0, NOBODY)
    assert await store.rubrics.save("acme", replace(second, is_default=True, version=9), 8, NOBODY) is None
    assert await store.rubrics.get_default("acme", "diagram") == first


async def test_the_default_of_a_type_goes_before_the_one_for_any(store: Store) -> None:
    anything, own = rubric(asset_type="", is_default=True), rubric(is_default=True)
    await store.rubrics.save("acme", anything, 0, NOBODY)
    await store.rubrics.save("acme", own, 0, NOBODY)
    assert await store.rubrics.get_default("acme", "diagram") == own
    assert await store.rubrics.get_default("acme", "audio") == anything


async def test_rubrics_are_listed_by_id_in_pages(store: Store) -> None:
    made = sorted(
        (rubric(asset_type=kind) for kind in ("diagram", "audio", "diagram")), key=lambda each: each.rubric_id
    )
    for each in made:
        await store.rubrics.save("acme", each, 0, NOBODY)
    assert await store.rubrics.list("acme", "", "", 2) == made[:2]
    assert await store.rubrics.list("acme", "", made[1].rubric_id, 2) == made[2:]
    assert await store.rubrics.list("acme", "audio", "", 5) == [each for each in made if each.asset_type == "audio"]


async def test_a_deleted_rubric_is_gone(store: Store) -> None:
    made = rubric(is_default=True)
    await store.rubrics.save("acme", made, 0, NOBODY)
    assert await store.rubrics.delete("acme", made.rubric_id) == made
    assert await store.rubrics.get("acme", made.rubric_id) is None
    assert await store.rubrics.get_default("acme", "diagram") is None


async def test_an_evaluation_comes_back_as_it_was_recorded(store: Store) -> None:
    made = evaluation()
    assert await store.evaluations.record(made, NOBODY) == made
    assert await store.evaluations.get("acme", made.evaluation_id) == made
    assert await store.evaluations.get("umbrella", made.evaluation_id) is None


async def test_the_first_verdict_of_a_request_stays(store: Store) -> None:
    once = RequestKey.for_request("e-1", b"digest")
    first = evaluation()
    assert await store.evaluations.get_by_request("acme", once) is None
    assert await store.evaluations.record(first, once) == first
    assert await store.evaluations.record(evaluation(passes=True), once) == first
    assert await store.evaluations.get_by_request("acme", once) == first
    assert await store.evaluations.get_by_request("umbrella", once) is None


async def test_verdicts_of_one_request_at_once_are_one(store: Store) -> None:
    once = RequestKey.for_request("e-1", b"digest")
    done = await asyncio.gather(*(store.evaluations.record(evaluation(), once) for _ in range(6)))
    assert len({each.evaluation_id for each in done}) == 1
    assert len(await store.evaluations.list("acme", ListQuery())) == 1


async def test_a_request_id_serves_one_question(store: Store) -> None:
    await store.evaluations.record(evaluation(), RequestKey.for_request("e-1", b"digest"))
    with pytest.raises(SomaError) as refused:
        await store.evaluations.get_by_request("acme", RequestKey.for_request("e-1", b"another"))
    assert refused.value.reason is Reason.IDEMPOTENCY_MISMATCH
    with pytest.raises(SomaError) as not_recorded:
        await store.evaluations.record(evaluation(), RequestKey.for_request("e-1", b"another"))
    assert not_recorded.value.reason is Reason.IDEMPOTENCY_MISMATCH


async def test_verdicts_without_a_request_id_are_all_kept(store: Store) -> None:
    await store.evaluations.record(evaluation(), NOBODY)
    await store.evaluations.record(evaluation(), NOBODY)
    assert len(await store.evaluations.list("acme", ListQuery())) == 2


async def test_evaluations_are_listed_newest_first(store: Store) -> None:
    made = [evaluation(origin=Origin(job_id=f"job-{number % 2}")) for number in range(5)]
    for each in made:
        await store.evaluations.record(each, NOBODY)
    newest = made[::-1]
    assert await store.evaluations.list("acme", ListQuery(limit=2)) == newest[:2]
    assert await store.evaluations.list("acme", ListQuery(limit=9, before_id=newest[1].evaluation_id)) == newest[2:]
    assert await store.evaluations.list("acme", ListQuery(job_id="job-1")) == [made[3], made[1]]
    assert await store.evaluations.list("acme", ListQuery(asset_id=made[2].asset_id)) == [made[2]]
    assert await store.evaluations.list("umbrella", ListQuery()) == []


async def test_postgres_records_the_event_with_the_verdict(postgres_store: Store) -> None:
    """Postgres only: the memory adapter has no outbox to be in one transaction with."""
    once = RequestKey.for_request("e-1", b"digest")
    made = evaluation()
    await postgres_store.evaluations.record(made, once)
    await postgres_store.evaluations.record(evaluation(), once)
    assert postgres_store.postgres is not None
    async with postgres_store.postgres.transaction(SYSTEM) as connection:
        rows = await connection.fetch("SELECT type, topic, key, tenant_id, payload FROM outbox")
    (row,) = rows
    told = facts_pb2.EvaluationDone.FromString(row["payload"]).evaluation
    assert (row["type"], row["topic"], row["key"]) == ("soma.events.v1.EvaluationDone", "critic.events", "job-1")
    assert row["tenant_id"] == "acme"
    assert (told.evaluation_id, told.passes, told.feedback[0].code) == (made.evaluation_id, False, "LOW_CONTRAST")
    assert told.feedback[0].hint["min_contrast"] == 4.5
