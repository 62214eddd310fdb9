"""The executor as it is served: its whole wiring against real engines, with peers that are away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from google.protobuf import struct_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mesh.chassis import SIGNING_KEY
from mesh.clock import SystemClock
from mesh.errors import Reason, SomaError
from mesh.identity import Claims, TokenMinter
from mesh.ids import SystemIds
from mesh.rpc.client import connect
from mesh.secrets import KeyKind, Vault, VaultTransit
from mesh.settings import BlobSettings, TlsSettings
from mesh.testing.contract import eventually
from soma.executor.v1 import job_pb2, job_service_pb2, plan_service_pb2
from soma.executor.v1.job_service_pb2_grpc import JobServiceStub
from soma.executor.v1.plan_service_pb2_grpc import PlanServiceStub
from svc_executor.bootstrap import build
from svc_executor.settings import ExecutorSettings, Settings
from tests.unit.executor.rig import plan, task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mesh.lifecycle import Service
    from mesh.settings import TemporalSettings, ValkeySettings, VaultSettings
    from tests.conftest import Database

PLAINTEXT = TlsSettings(profile="test")
AWAY = "127.0.0.1:1"
MEMBER = Claims("acme", "alice", ("member",), key_id="key-alice")


@pytest.fixture
async def settings(
    database: Database,
    valkey_settings: ValkeySettings,
    temporal_settings: TemporalSettings,
    vault_settings: VaultSettings,
    tmp_path: Path,
) -> Settings:
    async with Vault.open(vault_settings) as vault:
        await VaultTransit(vault, vault_settings.transit_mount).create_key(SIGNING_KEY, KeyKind.SIGNING)
    return Settings(
        tls=PLAINTEXT,
        postgres=await database("executor"),
        valkey=valkey_settings,
        vault=vault_settings,
        temporal=temporal_settings,
        blobs=BlobSettings(url="memory://"),
        peers={"gateway": AWAY, "registry": AWAY, "selector": AWAY, "assets": AWAY, "critic": AWAY},
        executor=ExecutorSettings(enabled=True, home=tmp_path, wait_for_registration_s=0),
    )


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Service]:
    async with build(settings) as built:
        yield built


async def token_of(settings: Settings, claims: Claims) -> str:
    async with Vault.open(settings.vault) as vault:
        transit = VaultTransit(vault, settings.vault.transit_mount)
        minter = TokenMinter(transit, SIGNING_KEY, issuer="soma", audience="soma", clock=SystemClock(), ids=SystemIds())
        return await minter.mint(claims, 60)


def a_plan() -> struct_pb2.Struct:
    message = struct_pb2.Struct()
    message.update(plan(task("a")))
    return message


async def test_the_service_is_healthy_and_asks_who_is_calling(service: Service) -> None:
    async with connect(service.address, PLAINTEXT, service_config="{}") as channel:
        health = await health_pb2_grpc.HealthStub(channel).Check(  # type: ignore[attr-defined]
            health_pb2.HealthCheckRequest(service="soma.executor.v1.JobService")
        )
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(SomaError) as caught:
            await JobServiceStub(channel).ListJobs(job_service_pb2.ListJobsRequest())
        assert caught.value.reason is Reason.UNAUTHENTICATED


async def test_a_job_waits_for_peers_that_are_away_and_can_be_cancelled(service: Service, settings: Settings) -> None:
    token = await token_of(settings, MEMBER)

    async def send() -> str:
        return token

    async with connect(service.address, PLAINTEXT, service_config="{}", token=send) as channel:
        answer = await PlanServiceStub(channel).ValidatePlan(plan_service_pb2.ValidatePlanRequest(plan=a_plan()))
        assert answer.valid
        jobs = JobServiceStub(channel)
        job = await jobs.SubmitJob(job_service_pb2.SubmitJobRequest(plan=a_plan()))

        async def state() -> job_pb2.JobState.ValueType:
            return (await jobs.GetJob(job_service_pb2.GetJobRequest(job_id=job.job_id))).state

        async def runs() -> bool:
            return await state() == job_pb2.JOB_STATE_RUNNING

        async def cancelled() -> bool:
            return await state() == job_pb2.JOB_STATE_CANCELLED

        await eventually(runs)
        await jobs.CancelJob(job_service_pb2.CancelJobRequest(job_id=job.job_id, reason="enough"))
        await eventually(cancelled, within_s=60)


async def test_jobs_are_refused_where_they_are_switched_off(settings: Settings) -> None:
    off = settings.model_copy(update={"executor": settings.executor.model_copy(update={"enabled": False})})
    token = await token_of(settings, MEMBER)

    async def send() -> str:
        return token

    async with build(off) as built, connect(built.address, PLAINTEXT, service_config="{}", token=send) as channel:
        with pytest.raises(SomaError) as caught:
            await JobServiceStub(channel).SubmitJob(job_service_pb2.SubmitJobRequest(plan=a_plan()))
    assert caught.value.reason is Reason.FAILED_PRECONDITION
