"""The wiring of the executor."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from mesh import durable
from mesh.chassis import chassis
from mesh.settings import load
from mesh.stores import blobs
from mesh.stores.retention import MaintenanceTask
from soma.executor.v1.document_service_pb2_grpc import add_DocumentServiceServicer_to_server
from soma.executor.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from soma.executor.v1.plan_service_pb2_grpc import add_PlanServiceServicer_to_server
from svc_executor.adapters.caller_tokens import MintedTokens
from svc_executor.adapters.credentials import TenantCredentials
from svc_executor.adapters.input_slots import LargeInputSlots
from svc_executor.adapters.metrics import PrometheusMeter
from svc_executor.adapters.outcomes import BlobOutcomes
from svc_executor.adapters.peers import AssetsPeer, CriticPeer, RegistryPeer, SelectorPeer
from svc_executor.adapters.postgres import PostgresJobs
from svc_executor.adapters.postgres.erasure import PostgresAssetTexts, PostgresErasures
from svc_executor.adapters.postgres.retention import RETENTION_RULES
from svc_executor.adapters.temporal import TemporalRunner
from svc_executor.app.control import CancelJob, ResumeJob
from svc_executor.app.diff_documents import DiffDocuments
from svc_executor.app.erasure import EraseTexts
from svc_executor.app.open_run import RunLimits
from svc_executor.app.read import ListJobs
from svc_executor.app.recorder import Recorder
from svc_executor.app.starting import JobLimits, StartJobs, StartPendingJobs
from svc_executor.app.submit import SubmitJob
from svc_executor.app.sweeps import CloseLostRuns, EraseOrphanedOutcomes, RetryCompensations
from svc_executor.app.watch import WatchJob
from svc_executor.bootstrap.background import Sweeps, start_sweeps
from svc_executor.bootstrap.providers import ProviderRuntime, circuit_report_ttl_s, shipped_capabilities
from svc_executor.context import CONTEXT, NAME
from svc_executor.domain.compiler import Compiler
from svc_executor.events.consumed import AssetEventHandlers
from svc_executor.events.published import EventEncoder
from svc_executor.rpc.document_service import DocumentServicer
from svc_executor.rpc.job_service import JobServicer, JobUseCases
from svc_executor.rpc.plan_service import PlanServicer
from svc_executor.settings import ExecutorSettings, Settings
from svc_executor.workflows.activities import JobActivities
from svc_executor.workflows.use_cases import Ports, shared_components, use_cases
from svc_executor.workflows.workers import job_workers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from temporalio.client import Client

    from mesh.chassis import Chassis
    from mesh.lifecycle import Service

_BATCH = 20
"""Events of one transaction: each locks the asset that it is about."""


@dataclass(frozen=True)
class _Stores:
    jobs: PostgresJobs
    outcomes: BlobOutcomes


@dataclass(frozen=True)
class _Peers:
    selector: SelectorPeer
    assets: AssetsPeer
    critic: CriticPeer
    registry: RegistryPeer


@asynccontextmanager
async def build(settings: Settings | None = None) -> AsyncIterator[Service]:
    """Builds the executor and undoes it in reverse."""
    settings = settings or load(Settings, NAME)
    async with chassis(CONTEXT, settings) as mesh:
        await mesh.follow_keys()
        peers = await _peers(mesh, circuit_report_ttl_s(settings.executor))
        store = PostgresJobs(mesh.postgres, EventEncoder(mesh.ids, mesh.clock), mesh.auditor)
        await mesh.enter(store.listening())
        await mesh.consume(AssetEventHandlers(mesh.clock, PostgresAssetTexts).handlers(), batch=_BATCH)
        blob_store = await mesh.enter(blobs.open(settings.blobs))
        temporal = await mesh.enter(durable.client(settings.temporal, blob_store))
        stores = _Stores(store, BlobOutcomes(blob_store))
        runner = TemporalRunner(temporal, settings.executor.task_queue)
        provider_runtime = await _start_workers(mesh, settings.executor, peers, stores, temporal)
        sweep = durable.PayloadSweep(blob_store, lambda: durable.history_retention(temporal))
        rules = (*RETENTION_RULES, MaintenanceTask("workflow_payloads", "payloads", sweep))
        retention = settings.retention
        await mesh.apply_retention(rules, retention.jobs_days, payloads=retention.workflow_payloads_days)
        plans = PlanServicer(compiler_of(settings.executor))
        jobs = JobServicer(_jobs(mesh, settings.executor, peers.assets, store, runner), mesh.heartbeats)
        # Whoever listens can run a plan; where the registry stays away, selections say so.
        await provider_runtime.registered(settings.executor.wait_for_registration_s)
        documents = DocumentServicer(DiffDocuments(store, peers.assets, provider_runtime.differ))
        yield await mesh.serve(
            [
                (add_PlanServiceServicer_to_server, plans),
                (add_JobServiceServicer_to_server, jobs),
                (add_DocumentServiceServicer_to_server, documents),
            ]
        )


def compiler_of(settings: ExecutorSettings) -> Compiler:
    """The compiler with the published schema."""
    schema = resources.files("svc_executor").joinpath("schemas", "task_dsl_v1.json").read_text(encoding="utf-8")
    return Compiler(json.loads(schema), max_steps=settings.max_steps, quality_gates=settings.quality_gates)


async def _peers(chassis: Chassis, confirm_within_s: float) -> _Peers:
    return _Peers(
        selector=SelectorPeer(await chassis.peer("selector")),
        assets=AssetsPeer(await chassis.peer("assets")),
        critic=CriticPeer(await chassis.peer("critic")),
        registry=RegistryPeer(await chassis.peer("registry"), chassis.ids.new(), confirm_within_s),
    )


async def _start_workers(
    chassis: Chassis,
    settings: ExecutorSettings,
    peers: _Peers,
    stores: _Stores,
    temporal: Client,
) -> ProviderRuntime:
    """Open the providers and work on the queue of jobs; the worker stops before the providers close."""
    meter = PrometheusMeter(shipped_capabilities(settings))
    provider_runtime = await chassis.enter(ProviderRuntime.open(chassis, settings, peers.registry, meter))
    ports = Ports(
        store=stores.jobs,
        selector=peers.selector,
        assets=peers.assets,
        critic=peers.critic,
        catalogue=provider_runtime.catalogue,
        credentials=TenantCredentials(chassis.secrets),
        meter=meter,
        clock=chassis.clock,
        outcomes=stores.outcomes,
        large_inputs=LargeInputSlots(chassis.clock),
        estimates=provider_runtime.estimates,
    )
    start_jobs = _start_jobs(chassis, settings, stores.jobs, TemporalRunner(temporal, settings.task_queue))
    await _start_sweeps(chassis, settings, ports, TemporalRunner(temporal, settings.task_queue), start_jobs)
    limits = RunLimits(
        settings.parallel_steps, settings.max_rework_attempts, settings.max_job_seconds, settings.max_step_attempts
    )
    steps = use_cases(ports, limits, start_jobs, provider_timeout_s=settings.provider_timeout_s)
    activities = JobActivities(steps, stores.jobs, MintedTokens(chassis.minter, chassis.revoked))
    await chassis.enter(
        job_workers(
            temporal,
            settings.task_queue,
            activities,
            clock=chassis.clock,
            attempts=settings.concurrent_activities,
            control=settings.concurrent_control_activities,
        )
    )
    return provider_runtime


async def _start_sweeps(
    chassis: Chassis, settings: ExecutorSettings, ports: Ports, runner: TemporalRunner, start_jobs: StartJobs
) -> None:
    store, clock, shared = ports.store, chassis.clock, shared_components(ports)
    erasures = PostgresErasures(chassis.postgres)
    await chassis.enter(erasures.listening())
    sweeps = Sweeps(
        start_pending=StartPendingJobs(store, start_jobs),
        close_lost_runs=CloseLostRuns(store, runner, ports.meter),
        retry_compensations=RetryCompensations(
            store,
            shared.compensator,
            MintedTokens(chassis.minter, chassis.revoked),
            ports.meter,
            clock,
            wait_s=settings.compensation_retry_s,
        ),
        erase_orphaned_outcomes=EraseOrphanedOutcomes(
            store, shared.calls, clock, after_s=settings.compensation_retry_s
        ),
        erase_texts=EraseTexts(erasures, ports.meter, clock),
    )
    await start_sweeps(chassis, sweeps, start_after_s=settings.start_after_s, interval_s=settings.sweep_interval_s)


def _start_jobs(chassis: Chassis, settings: ExecutorSettings, store: PostgresJobs, runner: TemporalRunner) -> StartJobs:
    limits = JobLimits(settings.tenant_running_jobs, settings.tenant_heavy_running_jobs, settings.tenant_open_jobs)
    return StartJobs(store, runner, limits, chassis.cpu_usage.is_heavy)


def _jobs(
    chassis: Chassis, settings: ExecutorSettings, assets: AssetsPeer, store: PostgresJobs, runner: TemporalRunner
) -> JobUseCases:
    recorder, start_jobs = Recorder(chassis.clock), _start_jobs(chassis, settings, store, runner)
    submit = SubmitJob(
        store,
        start_jobs,
        compiler_of(settings),
        recorder,
        clock=chassis.clock,
        ids=chassis.ids,
        enabled=settings.enabled,
    )
    return JobUseCases(
        store=store,
        submit=submit,
        list=ListJobs(store),
        cancel=CancelJob(store, runner),
        resume=ResumeJob(store, runner, assets, recorder, start_jobs, max_resumes=settings.max_resumes),
        watch=WatchJob(store, recorder),
    )
