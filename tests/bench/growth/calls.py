"""A call of every method of the contracts: what is made beforehand, and the request that is timed.

Each entry gives the body of the request as JSON. What it prepares is not timed. A test compares the names with the
contracts, so that no method is forgotten. Lists are asked for one entry: a page that is full only where tables are full
would compare the sizes of answers.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

from tests.bench.growth.reconnecting import known_capabilities, known_keys, known_revocations
from tests.bench.growth.world import FAILING_PLAN, PLAN, SERVICE, TENANT, Json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tests.bench.growth.world import World

    Make = Callable[[World], Awaitable[Json | list[Json]]]

ACTOR = "actor"
CALLERS = {
    "selector.v1.BudgetService.RenewReservation": ACTOR,
    "selector.v1.BudgetService.SettleReservation": ACTOR,
    "selector.v1.BudgetService.ReleaseReservation": ACTOR,
    "registry.v1.CapabilityService.ReportHealth": ACTOR,
    "registry.v1.CapabilityService.WatchCapabilities": SERVICE,
    "gateway.v1.ApiKeyService.WatchRevocations": SERVICE,
    "gateway.v1.ApiKeyService.WatchApiKeys": SERVICE,
}
"""Who calls a method that the tenant's administrator may not call."""
STARTS_JOB = frozenset(f"executor.v1.JobService.{method}" for method in ("SubmitJob", "CancelJob", "ResumeJob"))
"""Methods whose answer is a job that then runs."""
RUBRIC: Json = {"display_name": "growth", "asset_type": "audio", "criteria": [{"dimension": "clarity", "weight": 1}]}
RETENTION: Json = {"receipts_days": 80, "traces_days": 80, "audit_days": 400, "dead_letters_days": 20}
NEED: Json = {"modality": "MODALITY_TOOL", "task_type": "growth"}


def fixed(**body: object) -> Make:
    """A request that is the same each time."""

    async def make(world: World) -> Json:
        return dict(body)

    return make


def about(field: str, called: str = "", **body: object) -> Make:
    """A request that names something the tenant has, in a field of the same name or of the one that is given."""

    async def make(world: World) -> Json:
        return {called or field: world.ids[field], **body}

    return make


async def health_report(world: World) -> Json:
    """A good report about the tenant's own capability."""
    owner, id_ = world.ids["owner_tenant_id"], world.ids["capability_id"]
    return {"capability_id": id_, "owner_tenant_id": owner, "state": "HEALTH_STATE_HEALTHY"}


async def asset_body(world: World) -> list[Json]:
    """An upload of bytes that were never there before."""
    text = base64.b64encode(b"growth " + os.urandom(600).hex().encode()).decode()
    return [{"filename": "growth.txt", "content": {"content_type": "text/plain", "data": text}}]


async def new_asset(world: World) -> str:
    """An asset that nothing else uses."""
    return str((await world.ask("assets.v1.AssetService.UploadAsset", await asset_body(world)))["asset_id"])


async def deleted_asset(world: World) -> Json:
    """An asset to delete."""
    return {"asset_id": await new_asset(world)}


async def key_body(world: World) -> Json:
    """A key to make."""
    return {"api_key": {"display_name": f"growth {world.number()}"}}


async def revoked_key(world: World) -> Json:
    """A key to revoke."""
    return {"key_id": (await world.ask("gateway.v1.ApiKeyService.CreateApiKey", await key_body(world)))["key_id"]}


async def tenant_body(world: World) -> Json:
    """A tenant to make."""
    return {"tenant": {"tenant_id": f"growth-{os.urandom(6).hex()}", "plan": "pro"}}


async def rubric_body(world: World) -> Json:
    """A rubric to make."""
    return {"rubric": RUBRIC}


async def deleted_rubric(world: World) -> Json:
    """A rubric to delete."""
    return {"rubric_id": (await world.ask("critic.v1.RubricService.CreateRubric", {"rubric": RUBRIC}))["rubric_id"]}


async def evaluation_body(world: World) -> Json:
    """An asset to judge."""
    return {"asset_id": world.ids["asset_id"], "request_id": os.urandom(8).hex()}


def capability(name: str) -> Json:
    """A tool of the tenant's own."""
    return {
        "tool_id": name, "provider": "growth", "kind": "CAPABILITY_KIND_TOOL", "modalities": ["MODALITY_TOOL"],
        "task_types": ["growth"], "allow": {"tenants": [TENANT]},
        "price_list": {"prices": [{"unit": "PRICE_UNIT_CALL", "micro_usd": 5}]},
    }  # fmt: skip


async def capability_body(world: World) -> Json:
    """A capability to register: the same one under another request each time."""
    return {"capability": capability(f"growth{world.number() % 50}-{os.getpid()}"), "request_id": os.urandom(8).hex()}


async def renamed_capability(world: World) -> Json:
    """A change of a capability."""
    changed = {**capability("growth"), "display_name": f"growth {world.number()}"}
    return {"capability_id": world.ids["capability_id"], "capability": changed, "update_mask": "displayName"}


async def ladder_body(world: World) -> Json:
    """A ladder of the tenant's own."""
    rungs = [world.ids["capability_id"]]
    return {"ladder": {"modality": "MODALITY_TOOL", "task_type": "growth", "capability_ids": rungs}}


async def job_body(world: World) -> Json:
    """A job to run."""
    return {"plan": PLAN, "request_id": os.urandom(8).hex()}


async def new_job(world: World) -> Json:
    """A job that has just begun."""
    return {"job_id": (await world.ask("executor.v1.JobService.SubmitJob", await job_body(world)))["job_id"]}


async def failed_job(world: World) -> Json:
    """A job that has failed, to be resumed: nothing here makes photographs."""
    made = await world.ask(
        "executor.v1.JobService.SubmitJob", {"plan": FAILING_PLAN, "request_id": os.urandom(8).hex()}
    )
    ended = await world.ended(str(made["job_id"]))
    if ended["state"] != "JOB_STATE_FAILED":
        raise RuntimeError(f"the job was to fail: {ended}")
    return {"job_id": ended["job_id"]}


async def selection_body(world: World) -> Json:
    """A selection with a reservation."""
    return {"requirements": NEED, "request_id": os.urandom(8).hex()}


async def reservation(world: World) -> str:
    """A reservation that is held."""
    made = await world.ask("selector.v1.SelectorService.Select", await selection_body(world))
    return str(made["budget"]["reservation_id"])  # type: ignore[index]


async def settled(world: World) -> Json:
    """A reservation to settle."""
    return {"reservation_id": await reservation(world), "usage": {"calls": 1}}


async def released(world: World) -> Json:
    """A reservation to renew or to release."""
    return {"reservation_id": await reservation(world)}


async def audit_end(world: World) -> Json:
    """The chain from its last entry on: checking walks it, so its cost is that of the part that is asked for."""
    listed = await world.ask("provenance.v1.AuditService.ListAuditEvents", {"page_size": 1})
    return {"from_sequence": listed["audit_events"][0]["sequence"]}  # type: ignore[index]


async def deleted_capability(world: World) -> Json:
    """A capability to delete."""
    made = capability(f"gone{os.urandom(4).hex()}")
    await world.ask("registry.v1.CapabilityService.RegisterCapability", {"capability": made})
    return {"capability_id": f"{made['tool_id']}@{made['provider']}", "request_id": os.urandom(8).hex()}


async def revisions(world: World) -> Json:
    """Two revisions of a document, which are the same."""
    revision = {"job_id": world.ids["document_job_id"], "step_id": "d"}
    return {"old_revision": revision, "new_revision": revision}


async def permitted_tenant(world: World) -> Json:
    """A change of what a tenant may do."""
    changed = {"permissions": {"denied_tools": [f"growth{world.number()}"]}}
    return {"tenant_id": TENANT, "tenant": {"tenant_id": TENANT, **changed}, "update_mask": "permissions.deniedTools"}


async def discarded(world: World) -> Json:
    """A dead letter to discard."""
    return {"dlq_id": await world.dead_letter(), "reason": "growth"}


async def requeued(world: World) -> Json:
    """A dead letter that cannot be sent again."""
    return {"dlq_ids": [world.ids["dlq_id"]]}


CALLS: Mapping[str, Make] = {
    "assets.v1.AssetService.UploadAsset": asset_body,
    "assets.v1.AssetService.GetAsset": about("asset_id"),
    "assets.v1.AssetService.DownloadAsset": about("asset_id"),
    "assets.v1.AssetService.ListAssets": fixed(page_size=1),
    "assets.v1.AssetService.DeleteAsset": deleted_asset,
    "assets.v1.AssetService.EraseAsset": deleted_asset,
    "critic.v1.RubricService.CreateRubric": rubric_body,
    "critic.v1.RubricService.GetRubric": about("rubric_id"),
    "critic.v1.RubricService.ListRubrics": fixed(asset_type="audio", page_size=1),
    "critic.v1.RubricService.UpdateRubric": about("rubric_id", rubric=RUBRIC),
    "critic.v1.RubricService.DeleteRubric": deleted_rubric,
    "critic.v1.CriticService.Evaluate": evaluation_body,
    "critic.v1.CriticService.GetEvaluation": about("evaluation_id"),
    "critic.v1.CriticService.ListEvaluations": about("asset_id", page_size=1),
    "registry.v1.CapabilityService.RegisterCapability": capability_body,
    "registry.v1.CapabilityService.GetCapability": about("capability_id"),
    "registry.v1.CapabilityService.ListCapabilities": fixed(page_size=1),
    "registry.v1.CapabilityService.UpdateCapability": renamed_capability,
    "registry.v1.CapabilityService.DisableCapability": about("capability_id"),
    "registry.v1.CapabilityService.DeleteCapability": deleted_capability,
    "registry.v1.CapabilityService.FindCandidates": fixed(requirements=NEED),
    "registry.v1.CapabilityService.ReportHealth": health_report,
    "registry.v1.CapabilityService.ResetFailures": about("capability_id"),
    "registry.v1.CapabilityService.WatchCapabilities": known_capabilities,
    "registry.v1.CapabilityService.GetLadder": fixed(modality="MODALITY_DIAGRAM", task_type="image_diagram"),
    "registry.v1.CapabilityService.ListLadders": fixed(page_size=1),
    "registry.v1.CapabilityService.SetLadder": ladder_body,
    "executor.v1.JobService.SubmitJob": job_body,
    "executor.v1.JobService.GetJob": about("job_id"),
    "executor.v1.JobService.ListJobs": fixed(page_size=1),
    "executor.v1.JobService.CancelJob": new_job,
    "executor.v1.JobService.ResumeJob": failed_job,
    "executor.v1.JobService.DescribeJob": about("job_id"),
    "executor.v1.JobService.WatchJob": about("job_id"),
    "executor.v1.DocumentService.DiffDocuments": revisions,
    "executor.v1.PlanService.ValidatePlan": fixed(plan=PLAN),
    "gateway.v1.DegradationService.ListComponents": fixed(),
    "gateway.v1.DegradationService.WatchStatus": fixed(),
    "gateway.v1.TokenService.CreateToken": fixed(),
    "gateway.v1.ApiKeyService.CreateApiKey": key_body,
    "gateway.v1.ApiKeyService.GetApiKey": about("key_id"),
    "gateway.v1.ApiKeyService.ListApiKeys": fixed(page_size=1),
    "gateway.v1.ApiKeyService.RevokeApiKey": revoked_key,
    "gateway.v1.ApiKeyService.WatchRevocations": known_revocations,
    "gateway.v1.ApiKeyService.WatchApiKeys": known_keys,
    "gateway.v1.TenantService.CreateTenant": tenant_body,
    "gateway.v1.TenantService.UpdateTenant": permitted_tenant,
    "gateway.v1.PermissionService.GetEffectivePermissions": fixed(),
    "gateway.v1.TenantService.GetTenant": fixed(tenant_id=TENANT),
    "gateway.v1.TenantService.ListTenants": fixed(page_size=1),
    "provenance.v1.AuditService.ListAuditEvents": fixed(page_size=1),
    "provenance.v1.AuditService.GetAuditEvent": about("audit_id"),
    "provenance.v1.AuditService.VerifyAudit": audit_end,
    "provenance.v1.AuditService.ExportAudit": audit_end,
    "provenance.v1.DeadLetterService.ListDeadLetters": fixed(page_size=1),
    "provenance.v1.DeadLetterService.GetDeadLetter": about("dlq_id"),
    "provenance.v1.DeadLetterService.RequeueDeadLetter": about("dlq_id"),
    "provenance.v1.DeadLetterService.RequeueDeadLetters": requeued,
    "provenance.v1.DeadLetterService.DiscardDeadLetter": discarded,
    "provenance.v1.ProvenanceService.GetProvenance": about("made_id", "asset_id"),
    "provenance.v1.ProvenanceService.ExportProvenance": about("made_id", "asset_id"),
    "provenance.v1.ReceiptService.ListReceipts": fixed(page_size=1),
    "provenance.v1.ReceiptService.GetReceipt": about("job_id", "receipt_id"),
    "provenance.v1.ReceiptService.GetRetention": fixed(),
    "provenance.v1.ReceiptService.SetRetention": fixed(retention=RETENTION),
    "provenance.v1.TraceService.GetTrace": about("job_id", "id"),
    "provenance.v1.TraceService.WatchTrace": about("job_id", "id"),
    "selector.v1.BudgetService.ListBudgets": fixed(),
    "selector.v1.BudgetService.SetBudget": fixed(budget={"limit_micro_usd": "10000000000"}),
    "selector.v1.BudgetService.RenewReservation": released,
    "selector.v1.BudgetService.SettleReservation": settled,
    "selector.v1.BudgetService.ReleaseReservation": released,
    "selector.v1.SelectorService.Select": selection_body,
    "selector.v1.SelectorService.FindCandidates": fixed(requirements=NEED),
    "selector.v1.SelectorService.GetSelection": about("selection_id"),
    "selector.v1.SelectorService.ListSelections": about("job_id", page_size=1),
}
