"""The critic over gRPC, with assets read from a real asset store as the caller."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from google.api.httpbody_pb2 import HttpBody

from mesh.clock import SystemClock
from mesh.errors import Reason, SomaError
from mesh.events.outbox import Outbox
from mesh.fairness import FairSlots
from mesh.ids import SystemIds
from mesh.processes import ProcessLimits, ProcessPool
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing import ALICE, BOB, served
from mesh.testing.audit import auditor
from soma.assets.v1 import asset_service_pb2
from soma.assets.v1.asset_service_pb2_grpc import AssetServiceStub, add_AssetServiceServicer_to_server
from soma.critic.v1 import critic_service_pb2, rubric_pb2
from soma.critic.v1.critic_service_pb2_grpc import CriticServiceStub, add_CriticServiceServicer_to_server
from soma.critic.v1.rubric_pb2_grpc import RubricServiceStub, add_RubricServiceServicer_to_server
from svc_assets.adapters.inspector import ProcessInspector
from svc_assets.adapters.spool import FileSpooler
from svc_assets.app import Assets, Ingest, IngestLimits
from svc_assets.domain.limits import SizeLimits
from svc_assets.rpc import AssetServicer
from svc_critic.adapters.heuristics import heuristics
from svc_critic.adapters.metrics import PrometheusMetrics
from svc_critic.adapters.peers import AssetsPeer
from svc_critic.adapters.postgres import PostgresEvaluationStore, PostgresRubricStore
from svc_critic.app import Evaluate, EvaluationSlots, Evaluators, RubricUseCases
from svc_critic.events.published import evaluation_done
from svc_critic.rpc import CriticServicer, RubricServicer
from tests.in_memory.assets import MemoryAssetStore, MemoryBlobStore, MemoryPermissions, MemoryReadAudit
from tests.integration.critic.samples.audio import babble, wav
from tests.integration.critic.samples.pictures import boxes, png
from tests.integration.critic.samples.theme import TUNED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import grpc.aio

    from mesh.identity import Claims
    from mesh.testing import RunningServer
    from soma.critic.v1.critic_service_pb2_grpc import CriticServiceAsyncStub
    from soma.critic.v1.rubric_pb2_grpc import RubricServiceAsyncStub
    from tests.conftest import Database

THEME = TUNED[0]
MAX_BYTES = 2_000_000
"""Smaller than usual, so that too large an asset is quickly made."""


class Mesh:
    """The critic beside an asset store."""

    def __init__(self, critic: RunningServer, assets: RunningServer, postgres: Postgres) -> None:
        self.critic = critic
        self.assets = assets
        self.postgres = postgres

    @property
    def stub(self) -> CriticServiceAsyncStub:
        return CriticServiceStub(self.critic.channel)

    @property
    def rubrics(self) -> RubricServiceAsyncStub:
        return RubricServiceStub(self.critic.channel)

    async def put(self, body: bytes, asset_type: str) -> str:
        return await upload(self.assets.channel, body, asset_type)


def for_a_job(claims: Claims) -> Claims:
    """The executor on behalf of a subject."""
    return replace(claims, actor="spiffe://soma/executor")


async def upload(channel: grpc.aio.Channel, body: bytes, asset_type: str) -> str:
    async def messages() -> AsyncIterator[asset_service_pb2.UploadAssetRequest]:
        for start in range(0, len(body), 200_000):
            piece = HttpBody(data=body[start : start + 200_000])
            yield asset_service_pb2.UploadAssetRequest(asset_type=asset_type, content=piece)

    stored = await AssetServiceStub(channel).UploadAsset(messages())
    return str(stored.asset_id)


def asset_servicer(pool: ProcessPool, folder: Path) -> AssetServicer:
    rows, blobs, clock = MemoryAssetStore(), MemoryBlobStore(), SystemClock()
    ingest = Ingest(
        store=rows,
        blobs=blobs,
        spooler=FileSpooler(folder),
        inspector=ProcessInspector(pool),
        clock=clock,
        ids=SystemIds(),
        permissions=MemoryPermissions(),
        limits=IngestLimits(SizeLimits(50_000_000), 1_000, 900.0),
    )
    return AssetServicer(ingest, Assets(rows, blobs, clock), MemoryReadAudit(), 600.0)


@pytest.fixture
async def mesh(database: Database, tmp_path: Path) -> AsyncIterator[Mesh]:
    clock, ids = SystemClock(), SystemIds()
    async with (
        Postgres.open(await database("critic")) as postgres,
        ProcessPool.open("critic", ProcessLimits(cpu_s=4.0, memory_mb=1_024), clock) as pool,
        served([(add_AssetServiceServicer_to_server, asset_servicer(pool, tmp_path))]) as assets,
    ):
        rubrics = RubricUseCases(PostgresRubricStore(postgres, auditor("critic")), clock, ids)
        evaluate = Evaluate(
            assets=AssetsPeer(AssetServiceStub(assets.channel), MAX_BYTES),
            rubrics=rubrics,
            evaluators=Evaluators(heuristics(pool, 2)),
            evaluations=PostgresEvaluationStore(postgres, Outbox(), evaluation_done),
            metrics=PrometheusMetrics(),
            slots=EvaluationSlots(FairSlots("the critic", 2, per_tenant=1), 1),
            clock=clock,
            ids=ids,
        )
        registrations = [
            (add_CriticServiceServicer_to_server, CriticServicer(evaluate)),
            (add_RubricServiceServicer_to_server, RubricServicer(rubrics)),
        ]
        async with served(registrations, caller=for_a_job(ALICE), issuer=assets.issuer) as critic:
            yield Mesh(critic, assets, postgres)


def asking(asset_id: str, **given: object) -> critic_service_pb2.EvaluateRequest:
    context = critic_service_pb2.EvaluationContext(
        request=THEME.request, expected_labels=THEME.labels, job_id="job-1", step_id="diagram", tool_id="mermaid"
    )
    return critic_service_pb2.EvaluateRequest(asset_id=asset_id, **{"context": context, **given})  # type: ignore[arg-type]


async def test_a_good_diagram_passes(mesh: Mesh) -> None:
    asset = await mesh.put(png(boxes(THEME, THEME.labels)), "diagram")
    verdict = await mesh.stub.Evaluate(asking(asset))
    assert verdict.passes, verdict
    assert (verdict.evaluator, verdict.rubric_id) == ("heuristics/diagram", "default-diagram")
    assert [score.dimension for score in verdict.criteria] == ["clarity", "relevance", "aesthetic"]
    assert "of 6 expected labels" in verdict.criteria[1].evidence


async def test_a_small_diagram_is_sent_back_with_the_width_to_draw_it_at(mesh: Mesh) -> None:
    image = boxes(THEME, THEME.labels)
    asset = await mesh.put(png(image.resize((image.width // 5, image.height // 5))), "diagram")
    verdict = await mesh.stub.Evaluate(asking(asset))
    assert not verdict.passes
    notes = {note.code: note for note in verdict.feedback}
    assert notes["RESOLUTION_TOO_LOW"].hint["min_width_px"] > image.width // 5


async def test_a_verdict_is_told_to_others_once(mesh: Mesh) -> None:
    asset = await mesh.put(png(boxes(THEME, THEME.labels)), "diagram")
    first = await mesh.stub.Evaluate(asking(asset, request_id="r-1"))
    again = await mesh.stub.Evaluate(asking(asset, request_id="r-1"))
    assert again == first
    async with mesh.postgres.transaction(SYSTEM) as connection:
        rows = await connection.fetch("SELECT type, key, tenant_id FROM outbox")
    assert [tuple(row) for row in rows] == [("soma.events.v1.EvaluationDone", "job-1", ALICE.tenant_id)]


@pytest.mark.parametrize("role", ["member", "admin", "platform_admin"])
async def test_a_caller_cannot_put_a_verdict_into_a_job(mesh: Mesh, role: str) -> None:
    asset = await mesh.put(png(boxes(THEME, THEME.labels)), "diagram")
    member = CriticServiceStub(await mesh.critic.channel_as(replace(ALICE, roles=(role,))))
    context = critic_service_pb2.EvaluationContext(job_id="job-1", step_id="diagram", execution_id="execution-1")
    with pytest.raises(SomaError) as refused:
        await member.Evaluate(asking(asset, context=context))
    assert refused.value.reason is Reason.INVALID_ARGUMENT
    named = {violation.field for violation in refused.value.fields}
    assert named == {"context.job_id", "context.step_id", "context.execution_id"}
    of_job = critic_service_pb2.ListEvaluationsRequest(job_id="job-1")
    assert not (await member.ListEvaluations(of_job)).evaluations


async def test_a_caller_has_an_asset_judged_that_no_job_asked_for(mesh: Mesh) -> None:
    asset = await mesh.put(png(boxes(THEME, THEME.labels)), "diagram")
    member = CriticServiceStub(await mesh.critic.channel_as(replace(ALICE, roles=("member",))))
    context = critic_service_pb2.EvaluationContext(request=THEME.request, tool_id="mermaid")
    assert not (await member.Evaluate(asking(asset, context=context))).job_id


async def test_past_verdicts_are_read_and_listed(mesh: Mesh) -> None:
    asset = await mesh.put(wav(babble(THEME, 3.0)), "audio")
    made = [await mesh.stub.Evaluate(critic_service_pb2.EvaluateRequest(asset_id=asset)) for _ in range(3)]
    assert (
        await mesh.stub.GetEvaluation(critic_service_pb2.GetEvaluationRequest(evaluation_id=made[0].evaluation_id))
        == made[0]
    )
    page = await mesh.stub.ListEvaluations(critic_service_pb2.ListEvaluationsRequest(asset_id=asset, page_size=2))
    rest = await mesh.stub.ListEvaluations(
        critic_service_pb2.ListEvaluationsRequest(asset_id=asset, page_size=2, page_token=page.next_page_token)
    )
    assert [*page.evaluations, *rest.evaluations] == made[::-1]
    assert not rest.next_page_token


async def test_an_asset_of_another_tenant_does_not_exist(mesh: Mesh) -> None:
    theirs = await upload(await mesh.assets.channel_as(BOB), png(boxes(THEME, THEME.labels)), "diagram")
    with pytest.raises(SomaError) as hidden:
        await mesh.stub.Evaluate(asking(theirs))
    assert hidden.value.reason is Reason.NOT_FOUND


async def test_verdicts_and_rubrics_of_another_tenant_do_not_exist(mesh: Mesh) -> None:
    asset = await mesh.put(wav(babble(THEME, 3.0)), "audio")
    made = await mesh.stub.Evaluate(critic_service_pb2.EvaluateRequest(asset_id=asset))
    kept = await mesh.rubrics.CreateRubric(rubric_pb2.CreateRubricRequest(rubric=lenient()))
    bob = await mesh.critic.channel_as(BOB)
    for call in (
        CriticServiceStub(bob).GetEvaluation(critic_service_pb2.GetEvaluationRequest(evaluation_id=made.evaluation_id)),
        RubricServiceStub(bob).GetRubric(rubric_pb2.GetRubricRequest(rubric_id=kept.rubric_id)),
        RubricServiceStub(bob).DeleteRubric(rubric_pb2.DeleteRubricRequest(rubric_id=kept.rubric_id)),
    ):
        with pytest.raises(SomaError) as hidden:
            await call
        assert hidden.value.reason is Reason.NOT_FOUND


async def test_an_asset_that_is_too_large_is_refused(mesh: Mesh) -> None:
    asset = await mesh.put(("word " * 600_000).encode(), "text")
    with pytest.raises(SomaError) as refused:
        await mesh.stub.Evaluate(critic_service_pb2.EvaluateRequest(asset_id=asset))
    assert refused.value.reason is Reason.PAYLOAD_TOO_LARGE


async def test_an_erased_asset_cannot_be_judged(mesh: Mesh) -> None:
    asset = await mesh.put(b"Some text that is erased soon.", "text")
    await AssetServiceStub(mesh.assets.channel).DeleteAsset(asset_service_pb2.DeleteAssetRequest(asset_id=asset))
    with pytest.raises(SomaError) as refused:
        await mesh.stub.Evaluate(critic_service_pb2.EvaluateRequest(asset_id=asset))
    assert refused.value.reason is Reason.FAILED_PRECONDITION


def lenient(**changes: object) -> rubric_pb2.Rubric:
    clarity = rubric_pb2.Criterion(dimension="clarity", weight=1.0, threshold=0.1, description="It can be seen.")
    given = {"asset_type": "audio", "criteria": [clarity], "min_overall_score": 0.1, "is_default": True}
    return rubric_pb2.Rubric(**{**given, **changes})  # type: ignore[arg-type]


async def test_a_rubric_is_made_changed_used_and_deleted(mesh: Mesh) -> None:
    made = await mesh.rubrics.CreateRubric(rubric_pb2.CreateRubricRequest(rubric=lenient(), request_id="c-1"))
    assert (made.version, made.builtin) == (1, False)
    asset = await mesh.put(wav(babble(THEME, 3.0)), "audio")
    used = await mesh.stub.Evaluate(critic_service_pb2.EvaluateRequest(asset_id=asset))
    assert (used.rubric_id, [score.dimension for score in used.criteria]) == (made.rubric_id, ["clarity"])
    changed = await mesh.rubrics.UpdateRubric(
        rubric_pb2.UpdateRubricRequest(rubric_id=made.rubric_id, rubric=lenient(display_name="Softly", version=1))
    )
    assert (changed.version, changed.display_name) == (2, "Softly")
    listed = await mesh.rubrics.ListRubrics(rubric_pb2.ListRubricsRequest(asset_type="audio"))
    assert [each.rubric_id for each in listed.rubrics] == [made.rubric_id, "default-audio"]
    await mesh.rubrics.DeleteRubric(rubric_pb2.DeleteRubricRequest(rubric_id=made.rubric_id))
    after = await mesh.stub.Evaluate(critic_service_pb2.EvaluateRequest(asset_id=asset))
    assert after.rubric_id == "default-audio"


async def test_a_rubric_whose_weights_do_not_add_up_is_refused_by_name(mesh: Mesh) -> None:
    half = rubric_pb2.Criterion(dimension="clarity", weight=0.5, threshold=0.1)
    with pytest.raises(SomaError) as refused:
        await mesh.rubrics.CreateRubric(rubric_pb2.CreateRubricRequest(rubric=lenient(criteria=[half])))
    assert refused.value.reason is Reason.INVALID_ARGUMENT
    assert [violation.field for violation in refused.value.fields] == ["rubric.criteria"]


async def test_a_page_token_of_ones_own_making_is_refused(mesh: Mesh) -> None:
    with pytest.raises(SomaError) as refused:
        await mesh.stub.ListEvaluations(critic_service_pb2.ListEvaluationsRequest(page_token="next"))
    assert refused.value.reason is Reason.INVALID_ARGUMENT


@pytest.mark.timeout(900)
async def test_asset_that_takes_too_long_is_not_judged_and_costs_nobody_else(mesh: Mesh) -> None:
    """The drawing is small, and counting its words takes many times the processor time that measuring may use."""
    depth = 30_000
    deep = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">{"<text>a" * depth}{"</text>" * depth}</svg>'
    hostile = await mesh.put(deep.encode(), "diagram")
    bobs = await upload(await mesh.assets.channel_as(BOB), png(boxes(THEME, THEME.labels)), "diagram")
    member = CriticServiceStub(await mesh.critic.channel_as(replace(ALICE, roles=("member",))))
    request = critic_service_pb2.EvaluateRequest(asset_id=hostile)
    busy = [asyncio.ensure_future(member.Evaluate(request, timeout=800)) for _ in range(3)]
    bob = CriticServiceStub(await mesh.critic.channel_as(for_a_job(BOB)))
    assert (await bob.Evaluate(asking(bobs), timeout=300)).passes
    assert not all(call.done() for call in busy)
    for call in busy:
        with pytest.raises(SomaError, match="too complex") as refused:
            await call
        assert refused.value.reason is Reason.FAILED_PRECONDITION
