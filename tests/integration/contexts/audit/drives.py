"""One call of every method that changes something, against the real use cases and the real stores of its context."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from google.protobuf import field_mask_pb2

from mesh.clock import SystemClock
from mesh.context import Caller, use
from mesh.degradation import DegradationLevel
from mesh.errors import SomaError
from mesh.events.audit_queue import AuditQueue
from mesh.events.outbox import Outbox
from mesh.ids import SystemIds
from mesh.processes import ProcessLimits, ProcessPool
from soma.assets.v1 import asset_service_pb2 as assets_pb
from soma.critic.v1 import rubric_pb2
from soma.executor.v1 import job_service_pb2
from soma.gateway.v1 import identity_service_pb2
from soma.gateway.v1.permission_service_pb2 import TenantPermissions
from soma.provenance.v1 import receipt_service_pb2
from soma.registry.v1 import capability_service_pb2 as registry_pb
from soma.selector.v1 import budget_service_pb2
from soma_providers.port import Artefact
from svc_assets.adapters.inspector import ProcessInspector
from svc_assets.adapters.memory import MemoryBytes, MemoryPermissions
from svc_assets.adapters.postgres import PostgresRows
from svc_assets.adapters.read_audit import ReadAudit
from svc_assets.adapters.spool import FileSpooler
from svc_assets.app import Assets, Ingest, IngestLimits
from svc_assets.domain.limits import SizeLimits
from svc_assets.rpc import AssetFacts, AssetServicer
from svc_critic.adapters.postgres import PostgresRubrics
from svc_critic.app import RubricUseCases
from svc_critic.rpc import RubricServicer
from svc_executor.adapters.memory.peers import MemoryAssets, MemoryMeter, MemoryResults, MemorySelector
from svc_executor.adapters.postgres import PostgresJobs
from svc_executor.app.close_run import CloseRun
from svc_executor.app.compensate import Compensator
from svc_executor.app.control import CancelJob, ResumeJob
from svc_executor.app.provider_calls import ProviderCalls
from svc_executor.app.read import ListJobs
from svc_executor.app.recorder import Recorder
from svc_executor.app.starting import StartJobs
from svc_executor.app.submit import SubmitJob
from svc_executor.app.watch import WatchJob
from svc_executor.bootstrap import compiler_of
from svc_executor.domain.peers import Upload
from svc_executor.domain.run import CloseRunInput, JobRun
from svc_executor.events.published import FactEncoder
from svc_executor.rpc.job_service import JobServicer, JobUseCases
from svc_executor.settings import ExecutorSettings
from svc_gateway.adapters.postgres import PostgresKeys, PostgresTenants
from svc_gateway.app.existing_keys import ExistingKeys
from svc_gateway.app.keys import Keys, Tokens
from svc_gateway.app.permissions import Permissions
from svc_gateway.app.revocations import RevokedKeys
from svc_gateway.app.signed_statements import Statements
from svc_gateway.app.tenants import Tenants
from svc_gateway.rpc.identity import ApiKeyServicer, TokenServicer
from svc_gateway.rpc.tenants import TenantServicer
from svc_provenance.adapters.receipts import PostgresReceipts
from svc_provenance.adapters.retention import PostgresTerms
from svc_provenance.app.receipts import Receipts
from svc_provenance.app.retention import RetentionDays
from svc_provenance.domain.retention import Days
from svc_provenance.rpc.receipts import ReceiptServicer
from svc_registry.adapters.postgres import PostgresStore
from svc_registry.app import Catalog, Registry
from svc_registry.bootstrap import capability_changed
from svc_registry.rpc import CapabilityServicer
from svc_selector.adapters.postgres import PostgresDecisions, PostgresLedger
from svc_selector.domain.decision import Decision, Rejection
from svc_selector.domain.model import Judgement, Requirements, SelectionRequest, Source, Subject
from svc_selector.rpc import BudgetServicer, SelectionFacts
from tests.integration.contexts.audit.observer import ALICE, SECRET, TENANT, TRACE, AuditObserver, Call
from tests.unit.registry.unasked import unasked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    from mesh.events.audit import Auditor

EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
CLOCK, IDS = SystemClock(), SystemIds()


class Minter:
    """Signs nothing."""

    async def mint(self, claims: object, ttl_s: float) -> str:
        return SECRET

    async def sign(self, payload: dict[str, object], typ: str) -> str:
        return SECRET


class Idle:
    """Runs nothing."""

    async def start(self, order: JobRun) -> None:
        """Nothing."""

    async def cancel(self, order: JobRun, reason: str) -> None:
        """Nothing."""


async def gateway(observer: AuditObserver, auditor: Auditor, _: Path) -> None:
    """Tenants and keys."""
    store = PostgresKeys(observer.postgres, auditor)
    tenant_store = PostgresTenants(observer.postgres, auditor)
    tenants, permissions = Tenants(tenant_store, CLOCK), Permissions(tenant_store, store, "test")
    use_cases = Keys(store, permissions, Minter(), "test", clock=CLOCK, ids=IDS)
    keys = ApiKeyServicer(
        use_cases, RevokedKeys(store, CLOCK), ExistingKeys(store, CLOCK), Statements(Minter(), CLOCK), tenants
    )
    new = identity_service_pb2.CreateTenantRequest(tenant=identity_service_pb2.Tenant(tenant_id="other", plan="pro"))
    await observer.call("soma.gateway.v1.TenantService", TenantServicer(tenants), "CreateTenant", new)
    update = identity_service_pb2.UpdateTenantRequest(
        tenant_id="other",
        tenant=identity_service_pb2.Tenant(permissions=TenantPermissions(personas=[SECRET])),
        update_mask=field_mask_pb2.FieldMask(paths=["permissions.personas"]),
    )
    await observer.call("soma.gateway.v1.TenantService", TenantServicer(tenants), "UpdateTenant", update)
    service = "soma.gateway.v1.ApiKeyService"
    wanted = identity_service_pb2.CreateApiKeyRequest(api_key=identity_service_pb2.ApiKey(display_name="ci"))
    made = await observer.call(service, keys, "CreateApiKey", wanted)
    audits = AuditQueue(auditor, observer.postgres, CLOCK, lambda: "policy")
    tokens = TokenServicer(Tokens(store, Minter(), audits.add, CLOCK))
    bearer = Caller(TENANT, "alice", ("member",), (), made.key_id, "token")  # type: ignore[attr-defined]
    with use(replace(ALICE, caller=bearer)):
        await tokens.CreateToken(identity_service_pb2.CreateTokenRequest(), cast("Any", Call()))
    await audits.flush()
    await observer.note("soma.gateway.v1.TokenService.CreateToken")
    gone = identity_service_pb2.RevokeApiKeyRequest(key_id=made.key_id)  # type: ignore[attr-defined]
    await observer.call(service, keys, "RevokeApiKey", gone)


async def registry(observer: AuditObserver, auditor: Auditor, _: Path) -> None:
    """Capabilities and ladders."""
    store = PostgresStore(observer.postgres, Outbox(), auditor, capability_changed)
    async with Catalog(store, store, "test").running() as catalog:
        servicer = CapabilityServicer(Registry(store, catalog, CLOCK), catalog, unasked)
        name = "canary@local"
        offer = {"tool_id": "canary", "provider": "local", "kind": "CAPABILITY_KIND_TOOL", "description": SECRET}
        full = {**offer, "modalities": ["MODALITY_TOOL"], "task_types": ["tool"]}
        requests = {
            "RegisterCapability": registry_pb.RegisterCapabilityRequest(capability=full),  # type: ignore[arg-type]
            "UpdateCapability": registry_pb.UpdateCapabilityRequest(
                capability_id=name,
                capability={**full, "display_name": "Canary"},  # type: ignore[arg-type]
                update_mask=field_mask_pb2.FieldMask(paths=["display_name"]),
            ),
            "ReportHealth": registry_pb.ReportHealthRequest(
                capability_id=name,
                state="HEALTH_STATE_UNHEALTHY",  # type: ignore[arg-type]
                circuit_open=True,
            ),
            "ResetFailures": registry_pb.ResetFailuresRequest(capability_id=name),
            "DisableCapability": registry_pb.DisableCapabilityRequest(capability_id=name),
            "DeleteCapability": registry_pb.DeleteCapabilityRequest(capability_id=name),
            "SetLadder": registry_pb.SetLadderRequest(
                ladder={"modality": "MODALITY_TOOL", "task_type": "tool", "capability_ids": [name]}  # type: ignore[arg-type]
            ),
        }
        for method, request in requests.items():
            await observer.call("soma.registry.v1.CapabilityService", servicer, method, request)


async def selector(observer: AuditObserver, auditor: Auditor, _: Path) -> None:
    """Budgets, and a choice that policy forbids."""
    decisions = PostgresDecisions(observer.postgres, Outbox(), auditor, SelectionFacts())
    ledger = PostgresLedger(observer.postgres, decisions, auditor, clock=CLOCK, ids=IDS, default_limit_micro_usd=1)
    cap = budget_service_pb2.SetBudgetRequest(budget=budget_service_pb2.Budget(limit_micro_usd=5))
    await observer.call(
        "soma.selector.v1.BudgetService", BudgetServicer(ledger, timedelta(minutes=15)), "SetBudget", cap
    )
    denied = Rejection("d2@local", Judgement.POLICY, "EGRESS_DENIED", "no")
    decision = Decision(
        selection_id=IDS.new(), selection_request=SelectionRequest(Requirements("image", "image_photo")),
        subject=Subject(TENANT, "alice"), chosen=None,
        ranked=(), rejected=(denied,), source=Source.LADDER, reason=SECRET, policy_id="p", ladder_version=1,
        reservation=None,
        degradation_level=DegradationLevel.NONE, stale_since=None, decided_at=CLOCK.now(), elapsed_us=1,
        traceparent=f"00-{TRACE}-1-00",
    )  # fmt: skip
    await decisions.record([decision, replace(decision, selection_id=IDS.new(), rejected=())])
    await observer.note("soma.selector.v1.SelectorService.Select")


async def executor(observer: AuditObserver, auditor: Auditor, _: Path) -> None:
    """A job that is cancelled, and one that fails and runs again."""
    store = PostgresJobs(observer.postgres, FactEncoder(IDS, CLOCK), auditor)
    recorder, peers, runner = Recorder(CLOCK), MemoryAssets(), Idle()
    meter, calls = MemoryMeter(), ProviderCalls(store, MemoryResults(), CLOCK)
    compensator = Compensator(store, peers, MemorySelector([]), recorder, meter=meter, clock=CLOCK)
    starting = StartJobs(store, runner)
    close = CloseRun(store, peers, compensator, recorder, calls, starting=starting, meter=meter, clock=CLOCK)
    use_cases = JobUseCases(
        store=store,
        submit=SubmitJob(store, starting, compiler_of(ExecutorSettings()), recorder, clock=CLOCK, ids=IDS),
        list=ListJobs(store),
        cancel=CancelJob(store, runner),
        resume=ResumeJob(store, runner, peers, recorder, starting),
        watch=WatchJob(store, recorder),
    )
    service, servicer = "soma.executor.v1.JobService", JobServicer(use_cases)
    submit = job_service_pb2.SubmitJobRequest()
    task = {"task_id": "a", "step_type": "generate_text", "task_type": "text_chat", "params": {"prompt": SECRET}}
    submit.plan.update({"version": "1.0", "tasks": [task]})  # type: ignore[list-item]
    job_id = (await observer.call(service, servicer, "SubmitJob", submit)).job_id  # type: ignore[attr-defined]
    cancel = job_service_pb2.CancelJobRequest(job_id=job_id, reason="not needed")
    await observer.call(service, servicer, "CancelJob", cancel)
    await peers.store(Upload(Artefact(b"x", "text/plain", "x", "text"), "r", job_id, "a", "e"))
    await close(CloseRunInput(JobRun(TENANT, job_id, 1), "FAILED", SECRET))
    await observer.note("")
    told = observer.told.pop("")
    for operation, action in (
        ("a run of a job ends", "job.end"),
        ("what a run left behind is undone", "compensation.run"),
    ):
        observer.told[operation] = [each for each in told if each[1].action == action]
    await observer.call(service, servicer, "ResumeJob", job_service_pb2.ResumeJobRequest(job_id=job_id))


async def assets(observer: AuditObserver, auditor: Auditor, folder: Path) -> None:
    """Bytes that are stored, deleted, and refused."""
    rows, blobs = PostgresRows(observer.postgres, Outbox(), auditor, AssetFacts(IDS)), MemoryBytes()
    ingest = Ingest(
        rows=rows, blobs=blobs, spooler=FileSpooler(folder), clock=CLOCK, ids=IDS,
        inspector=ProcessInspector(ProcessPool("test", ProcessLimits(), CLOCK)),
        permissions=MemoryPermissions(), limits=IngestLimits(SizeLimits(10_000), 1_000, 900.0),
    )  # fmt: skip
    reads = ReadAudit(auditor, observer.postgres, CLOCK, lambda: "p", every_s=1.0)
    service, servicer = (
        "soma.assets.v1.AssetService",
        AssetServicer(ingest, Assets(rows, blobs, CLOCK), reads, 600.0),
    )
    stored = await observer.call(service, servicer, "UploadAsset", _upload(SECRET.encode()))
    by_id = {"asset_id": stored.asset_id}  # type: ignore[attr-defined]
    await observer.call(service, servicer, "GetAsset", assets_pb.GetAssetRequest(**by_id))
    await reads.flush()
    await observer.note(f"{service}.GetAsset")
    with use(ALICE):
        _ = [piece async for piece in servicer.DownloadAsset(assets_pb.DownloadAssetRequest(**by_id), Call())]  # type: ignore[arg-type]
    await reads.flush()
    await observer.note(f"{service}.DownloadAsset")
    await observer.call(service, servicer, "ListAssets", assets_pb.ListAssetsRequest())
    await reads.flush()
    await observer.note(f"{service}.ListAssets")
    gone = assets_pb.DeleteAssetRequest(asset_id=stored.asset_id, reason="asked for")  # type: ignore[attr-defined]
    await observer.call(service, servicer, "DeleteAsset", gone)
    again = await observer.call(service, servicer, "UploadAsset", _upload(SECRET.encode()))
    erase = assets_pb.EraseAssetRequest(asset_id=again.asset_id, reason="asked for")  # type: ignore[attr-defined]
    await observer.call(service, servicer, "EraseAsset", erase)
    try:
        await observer.call(service, servicer, "UploadAsset", _upload(EICAR))
    except SomaError:
        await observer.note("an upload is rejected by the scan")


async def _upload(body: bytes) -> AsyncIterator[assets_pb.UploadAssetRequest]:
    yield assets_pb.UploadAssetRequest(content={"data": body}, filename=f"{SECRET}.txt")


async def critic(observer: AuditObserver, auditor: Auditor, _: Path) -> None:
    """A rubric's life."""
    servicer = RubricServicer(RubricUseCases(PostgresRubrics(observer.postgres, auditor), CLOCK, IDS))
    service = "soma.critic.v1.RubricService"
    rubric = {"display_name": SECRET, "criteria": [{"dimension": "clarity", "weight": 1}]}
    create = rubric_pb2.CreateRubricRequest(rubric=rubric)  # type: ignore[arg-type]
    rubric_id = (await observer.call(service, servicer, "CreateRubric", create)).rubric_id  # type: ignore[attr-defined]
    update = rubric_pb2.UpdateRubricRequest(rubric_id=rubric_id, rubric=rubric)  # type: ignore[arg-type]
    await observer.call(service, servicer, "UpdateRubric", update)
    await observer.call(service, servicer, "DeleteRubric", rubric_pb2.DeleteRubricRequest(rubric_id=rubric_id))


async def provenance(observer: AuditObserver, auditor: Auditor, _: Path) -> None:
    """For how long the record keeps what it has."""
    platform = Days(90, 90, 400, 30)
    terms = RetentionDays(PostgresTerms(observer.postgres, platform, auditor), platform, CLOCK)
    servicer = ReceiptServicer(Receipts(PostgresReceipts(observer.postgres)), terms)
    days = {"receipts_days": 80, "traces_days": 80, "audit_days": 400, "dead_letters_days": 20}
    request = receipt_service_pb2.SetRetentionRequest(retention=days)  # type: ignore[arg-type]
    await observer.call("soma.provenance.v1.ReceiptService", servicer, "SetRetention", request)


DRIVES: Mapping[str, Callable[[AuditObserver, Auditor, Path], Awaitable[None]]] = {
    "gateway": gateway, "registry": registry, "selector": selector, "executor": executor, "assets": assets,
    "critic": critic, "provenance": provenance,
}  # fmt: skip
