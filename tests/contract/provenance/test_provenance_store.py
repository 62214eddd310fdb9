"""What every record promises, fed through the same intake that the bus feeds."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.events.event import Event
from mesh.ids import SystemIds, derive
from mesh.stores.postgres import Postgres
from soma.assets.v1 import asset_pb2
from soma.critic.v1 import critic_service_pb2
from soma.events.v1 import facts_pb2
from soma.executor.v1 import job_pb2
from soma.selector.v1 import selection_pb2
from svc_provenance.adapters.postgres.provenance import PostgresProvenanceStore
from svc_provenance.app.lineage import Lineage
from svc_provenance.domain.asset_records import MAX_GENERATIONS
from svc_provenance.domain.model import EntryKind
from svc_provenance.domain.trace import build_trace
from svc_provenance.events.consumed.traces import TraceEventHandlers
from svc_provenance.rpc.convert.summaries import summary_from_proto
from tests.in_memory.provenance import MemoryProvenanceStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from google.protobuf.message import Message

    from mesh.settings import PostgresSettings
    from svc_provenance.app.ports import ProvenanceStore
    from svc_provenance.domain.model import Transaction

NOW = datetime(2026, 3, 1, tzinfo=UTC)
IDS = SystemIds()
JOB, CHART, DOCUMENT, REQUEST = IDS.new(), IDS.new(), IDS.new(), IDS.new()


@dataclass
class StoreHarness:
    store: ProvenanceStore
    postgres: Postgres | None = None

    @asynccontextmanager
    async def transaction(self, tenant: str) -> AsyncIterator[Transaction]:
        if self.postgres is None:
            yield None
        else:
            async with self.postgres.transaction(tenant) as connection:
                yield connection

    async def tell(self, payload: Message, tenant: str = "acme", at: datetime = NOW, dlq_id: str = "") -> None:
        kind, content = payload.DESCRIPTOR.full_name, payload.SerializeToString()
        event = Event(IDS.new(), kind, "t", "k", tenant, at, content, dlq_id=dlq_id)
        async with self.transaction(tenant) as transaction:
            await TraceEventHandlers(self.store).handlers()[event.type](transaction, event)  # type: ignore[arg-type]


@pytest.fixture
async def postgres_harness(database: Callable[[str], Awaitable[PostgresSettings]]) -> AsyncIterator[StoreHarness]:
    async with Postgres.open(await database("provenance")) as postgres:
        yield StoreHarness(PostgresProvenanceStore(postgres, summary_from_proto), postgres)


@pytest.fixture
def memory_harness() -> StoreHarness:
    return StoreHarness(MemoryProvenanceStore())


@pytest.fixture(params=["memory", "postgres"])
def harness(request: pytest.FixtureRequest) -> StoreHarness:
    found: StoreHarness = request.getfixturevalue(f"{request.param}_harness")
    return found


def execution(attempt: int = 1, **fields: object) -> job_pb2.Execution:
    plain = {
        "execution_id": derive("execution", str(attempt)),
        "job_id": JOB,
        "step_id": "chart",
        "step_type": "generate_diagram",
        "attempt": attempt,
        "tool_id": "matplotlib_chart",
        "provider": "local",
        "status": job_pb2.EXECUTION_STATUS_SUCCEEDED,
        "selection_id": derive("selection", str(attempt)),
        "latency_ms": 120,
        "trace_id": "a" * 32,
    }
    return job_pb2.Execution(**(plain | fields))  # type: ignore[arg-type]


def finished(made: job_pb2.Execution, prompt: str = "", inputs: tuple[str, ...] = ()) -> facts_pb2.ExecutionFinished:
    return facts_pb2.ExecutionFinished(execution=made, subject="alice", prompt=prompt, input_asset_ids=inputs)


def stored(asset_id: str, execution_id: str = "") -> facts_pb2.AssetStored:
    origin = asset_pb2.Origin(job_id=JOB, step_id="chart", execution_id=execution_id)
    asset = asset_pb2.Asset(asset_id=asset_id, asset_type="diagram", media_type="image/png", origin=origin)
    return facts_pb2.AssetStored(asset=asset)


def selection(attempt: int = 1, **fields: object) -> facts_pb2.SelectionMade:
    made = selection_pb2.Selection(
        selection_id=derive("selection", str(attempt)),
        reason="matplotlib_chart@local: rung 1 of the ladder",
        policy_id="p1",
        subject_context=selection_pb2.SubjectContext(job_id=JOB, step_id="chart", attempt=attempt),
        **fields,  # type: ignore[arg-type]
    )
    made.chosen.capability_id = "matplotlib_chart@local"
    return facts_pb2.SelectionMade(selection=made)


def evaluation(attempt: int, *, passes: bool) -> facts_pb2.EvaluationDone:
    made = critic_service_pb2.Evaluation(
        evaluation_id=derive("evaluation", str(attempt)),
        asset_id=CHART,
        passes=passes,
        score=0.9 if passes else 0.4,
        job_id=JOB,
        execution_id=derive("execution", str(attempt)),
        feedback=[] if passes else [critic_service_pb2.Feedback(code="BLURRED", message="the picture is blurred")],
    )
    return facts_pb2.EvaluationDone(evaluation=made)


def job(state: job_pb2.JobState.ValueType, attempts: int = 1) -> facts_pb2.JobChanged:
    step = job_pb2.Step(
        step_id="chart", step_type="generate_diagram", state=job_pb2.STEP_STATE_SUCCEEDED, attempts=attempts
    )
    return facts_pb2.JobChanged(job=job_pb2.Job(job_id=JOB, state=state, steps=[step]))


async def test_provenance_is_whole_in_whatever_order_its_facts_arrive(harness: StoreHarness) -> None:
    made = execution(asset_ids=[CHART], cost_micro_usd=7)
    facts = [stored(CHART, made.execution_id), finished(made, "draw sales"), evaluation(1, passes=True)]
    for fact in reversed(facts):
        await harness.tell(fact)
    own, ancestors = await Lineage(harness.store).get("acme", CHART)
    assert (own.capability_id, own.cost_micro_usd, own.subject) == ("matplotlib_chart@local", 7, "alice")
    assert (own.passes, own.quality, own.prompt_summary) == (True, 0.9, "draw sales")
    assert list(ancestors) == []


async def test_every_asset_of_an_attempt_is_told_how_it_was_made_once(harness: StoreHarness) -> None:
    await harness.tell(finished(execution(1, asset_ids=[DOCUMENT, CHART, CHART], cost_micro_usd=7)))
    for asset_id in (CHART, DOCUMENT):
        await harness.tell(stored(asset_id))
        own, _ = await Lineage(harness.store).get("acme", asset_id)
        assert (own.attempt, own.cost_micro_usd) == (1, 7)


async def test_provenance_names_the_request_and_the_job(harness: StoreHarness) -> None:
    told, older = (
        finished(execution(1, asset_ids=[CHART], request_id=REQUEST)),
        finished(execution(2, asset_ids=[DOCUMENT])),
    )
    for facts in ([stored(CHART), told], [older, stored(DOCUMENT)]):
        for fact in facts:
            await harness.tell(fact)
    made, of_an_older_executor = [(await Lineage(harness.store).get("acme", id_))[0] for id_ in (CHART, DOCUMENT)]
    assert (made.job_id, made.request_id) == (JOB, REQUEST)
    assert (of_an_older_executor.job_id, of_an_older_executor.request_id) == (JOB, "")


async def test_lineage_names_each_ancestor_once_nearest_first(harness: StoreHarness) -> None:
    root = IDS.new()
    await harness.tell(stored(root))
    await harness.tell(stored(CHART))
    await harness.tell(finished(execution(1, asset_ids=[CHART]), inputs=(root,)))
    await harness.tell(stored(DOCUMENT))
    await harness.tell(finished(execution(2, asset_ids=[DOCUMENT]), inputs=(CHART, root)))
    _, ancestors = await Lineage(harness.store).get("acme", DOCUMENT)
    assert {item.asset_id for item in ancestors} == {CHART, root}
    assert len(ancestors) == 2


async def test_a_lineage_ends_at_the_bound_of_its_generations_and_at_a_cycle(harness: StoreHarness) -> None:
    chain = [derive("link", str(number)) for number in range(MAX_GENERATIONS + 3)]
    for number, (child, parent) in enumerate(zip(chain, [*chain[1:], chain[0]], strict=True)):
        await harness.tell(stored(child))
        await harness.tell(finished(execution(number, asset_ids=[child]), inputs=(parent,)))
    _, ancestors = await Lineage(harness.store).get("acme", chain[0])
    assert [item.asset_id for item in ancestors] == chain[1 : MAX_GENERATIONS + 1]
    _, ancestors = await Lineage(harness.store).get("acme", chain[-2])
    assert ancestors[1].asset_id == chain[0]


@pytest.mark.parametrize(
    "asset_id", ["no-uuid", "", "{" + CHART + "}", CHART.replace("-", "")], ids=["word", "empty", "braces", "digits"]
)
async def test_what_is_no_id_is_not_found(harness: StoreHarness, asset_id: str) -> None:
    await harness.tell(stored(CHART))
    with pytest.raises(SomaError) as refused:
        await Lineage(harness.store).get("acme", asset_id)
    assert refused.value.reason is Reason.NOT_FOUND


async def test_a_parent_that_is_no_id_is_passed_over(harness: StoreHarness) -> None:
    await harness.tell(stored(CHART))
    await harness.tell(finished(execution(1, asset_ids=[CHART]), inputs=("no-uuid",)))
    own, ancestors = await Lineage(harness.store).get("acme", CHART)
    assert (own.parent_ids, list(ancestors)) == (("no-uuid",), [])


async def test_another_tenants_record_does_not_exist(harness: StoreHarness) -> None:
    await harness.tell(stored(CHART))
    await harness.tell(job(job_pb2.JOB_STATE_RUNNING))
    assert await harness.store.provenance("umbrella", CHART) is None
    assert list(await harness.store.trace_entries("umbrella", JOB)) == []


async def test_personal_data_is_taken_out_and_counted(harness: StoreHarness) -> None:
    made = execution(asset_ids=[CHART])
    made.params.update({"note": "call 555-867-5309", "list": ["ann@example.com"]})
    await harness.tell(finished(made, "card 4111 1111 1111 1111"))
    await harness.tell(stored(CHART, made.execution_id))
    own, _ = await Lineage(harness.store).get("acme", CHART)
    assert own.params == {"note": "call [phone]", "list": ["[email]"]}
    assert own.prompt_summary == "card [card]"
    assert own.redactions == {"phone": 1, "email": 1, "card": 1}
    assert b"ann@example.com" not in b"".join(fact.document for fact in await harness.store.trace_entries("acme", JOB))


async def test_the_first_attempt_that_made_the_bytes_is_the_one_recorded(harness: StoreHarness) -> None:
    await harness.tell(finished(execution(1, asset_ids=[CHART])))
    await harness.tell(finished(execution(2, asset_ids=[CHART])))
    await harness.tell(stored(CHART))
    own, _ = await Lineage(harness.store).get("acme", CHART)
    assert own.attempt == 1


async def test_a_trace_tells_the_story_of_a_rework(harness: StoreHarness) -> None:
    first = execution(1, status=job_pb2.EXECUTION_STATUS_REJECTED, evaluation_id=derive("evaluation", "1"))
    second = execution(
        2,
        selection_id=first.selection_id,
        rework_reason="the picture is blurred",
        quality_score=0.9,
        evaluation_id=derive("evaluation", "2"),
    )
    for fact in (
        selection(),
        finished(first),
        evaluation(1, passes=False),
        finished(second),
        evaluation(2, passes=True),
    ):
        await harness.tell(fact)
    await harness.tell(job(job_pb2.JOB_STATE_COMPLETED, attempts=2))
    trace = build_trace(await harness.store.trace_entries("acme", JOB))
    [step] = trace.steps
    assert [bool(attempt.selection) for attempt in step.attempts] == [True, False]
    assert "refused it at 0.40 (the picture is blurred)" in step.story
    assert "reworked it with matplotlib_chart@local because the picture is blurred" in step.story
    assert (trace.totals.reworks, trace.totals.mean_quality, trace.complete) == (1, 0.9, True)


async def test_a_trace_is_not_complete_before_every_named_fact_arrived(harness: StoreHarness) -> None:
    await harness.tell(job(job_pb2.JOB_STATE_COMPLETED))
    await harness.tell(finished(execution(asset_ids=[CHART])))
    assert not build_trace(await harness.store.trace_entries("acme", JOB)).complete
    await harness.tell(selection())
    assert not build_trace(await harness.store.trace_entries("acme", JOB)).complete
    await harness.tell(stored(CHART))
    assert build_trace(await harness.store.trace_entries("acme", JOB)).complete


async def test_a_fruitless_choice_is_told(harness: StoreHarness) -> None:
    made = selection(1, fallback_reason="UNAVAILABLE")
    made.selection.ClearField("chosen")
    made.selection.reason = "Nothing could be chosen: all 2 capabilities were left out"
    await harness.tell(made)
    trace = build_trace(await harness.store.trace_entries("acme", JOB))
    assert "Then nothing could be chosen" in trace.steps[0].story


async def test_of_large_parameters_size_and_digest_are_kept(harness: StoreHarness) -> None:
    made = execution(asset_ids=[CHART])
    made.params.update({"kind": "bar", "data": [1] * 50_000})
    await harness.tell(stored(CHART))
    await harness.tell(finished(made))
    own, _ = await Lineage(harness.store).get("acme", CHART)
    left_out = {"sha256": hashlib.sha256(b"[" + b"1," * 49_999 + b"1]").hexdigest(), "size_bytes": 100_001}
    assert own.params == {"kind": "bar", "data": {"params_omitted": left_out}}
    [fact] = [fact for fact in await harness.store.trace_entries("acme", JOB) if fact.kind is EntryKind.EXECUTION]
    assert len(fact.document) < 1_000
