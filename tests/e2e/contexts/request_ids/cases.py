"""A case of each method whose request has an id."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

from tests.e2e.contexts.request_ids.api import Api, Case, Json, unused
from tests.e2e.contexts.request_ids.registry import delete, disable, ladder, register, reset, update

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CHART = {"chart": {"kind": "bar", "title": "once", "series": [{"name": "s", "x": ["a", "b"], "y": [1, 2]}]}}
PLAN = {
    "version": "1.0",
    "tasks": [{"task_id": "a", "step_type": "generate_diagram", "task_type": "chart", "params": CHART}],
}
FAILING = {
    "version": "1.0",
    "tasks": [{"task_id": "a", "step_type": "generate_image", "task_type": "image_photo", "params": {"prompt": "a"}}],
}
RUBRIC = {"display_name": "once", "asset_type": "audio", "criteria": [{"dimension": "clarity", "weight": 1}]}
WITHOUT = {
    "soma.assets.v1.AssetService.EraseAsset": "its contract promises no more than that erasing twice changes nothing",
}
"""Methods whose id does not make them idempotent, and why."""


def budget(api: Api) -> Case:
    def cap(limit: int) -> Json:
        return {"budget": {"modality": "MODALITY_DOCUMENT", "limit_micro_usd": str(limit)}}

    return Case(
        cap(7_000_000_000), cap(8_000_000_000), "modality", ("selector.v1.BudgetService.ListBudgets", {}),
        lambda _: api("selector.v1.BudgetService.SetBudget", cap(9_000_000_000)),
    )  # fmt: skip


def selection(api: Api) -> Case:
    job = unused("session")

    def need(kind: str) -> Json:
        wanted = {"modality": "MODALITY_DIAGRAM", "task_type": kind}
        return {"requirements": wanted, "subject_context": {"session_id": job}}

    read = ("selector.v1.SelectorService.ListSelections", {"page_size": 1})
    return Case(need("image_diagram"), need("chart"), "selection_id", read)


def rubric(api: Api) -> Case:
    other = {**RUBRIC, "display_name": "other"}
    read = ("critic.v1.RubricService.ListRubrics", {"asset_type": "audio"})
    return Case({"rubric": RUBRIC}, {"rubric": other}, "rubric_id", read)


def changed_rubric(api: Api) -> Case:
    id_ = api("critic.v1.RubricService.CreateRubric", {"rubric": RUBRIC})["rubric_id"]

    def named(name: str) -> Json:
        return {"rubric_id": id_, "rubric": {**RUBRIC, "display_name": name}}

    return Case(
        named("one"), named("other"), "rubric_id", ("critic.v1.RubricService.GetRubric", {"rubric_id": id_}),
        lambda _: api("critic.v1.RubricService.UpdateRubric", named("later")),
    )  # fmt: skip


def content(text: str) -> Json:
    data = base64.b64encode(text.encode()).decode()
    return {"filename": "once.txt", "content": {"content_type": "text/plain", "data": data}}


def upload(api: Api) -> Case:
    read = ("assets.v1.AssetService.ListAssets", {"page_size": 5})
    one, other = os.urandom(300).hex(), os.urandom(300).hex()
    return Case(content(one), content(other), "asset_id", read)


def evaluation(api: Api) -> Case:
    ids = [str(api("assets.v1.AssetService.UploadAsset", content(os.urandom(300).hex()))["asset_id"]) for _ in "ab"]
    read = ("critic.v1.CriticService.ListEvaluations", {"asset_id": ids[0]})
    return Case({"asset_id": ids[0]}, {"asset_id": ids[1]}, "evaluation_id", read)


def job(api: Api) -> Case:
    read = ("executor.v1.JobService.ListJobs", {"page_size": 1})
    return Case(
        {"plan": PLAN},
        {"plan": PLAN, "session_id": "other"},
        "job_id",
        read,
        lambda answer: api.follow(answer["job_id"]),
    )


def cancelled_job(api: Api) -> Case:
    made = api("executor.v1.JobService.SubmitJob", {"plan": PLAN})["job_id"]
    read = ("executor.v1.JobService.ListJobs", {"page_size": 1})
    return Case(
        {"job_id": made, "reason": "one"},
        {"job_id": made, "reason": "other"},
        "job_id",
        read,
        lambda _: api.follow(made),
    )


def resumed_job(api: Api) -> Case:
    made = api("executor.v1.JobService.SubmitJob", {"plan": FAILING})["job_id"]
    other = api("executor.v1.JobService.SubmitJob", {"plan": FAILING})["job_id"]
    for each in (made, other):
        api.follow(each)
    read = ("executor.v1.JobService.DescribeJob", {"job_id": other})
    return Case({"job_id": made}, {"job_id": other}, "job_id", read, lambda answer: api.follow(answer["job_id"]))


def key(api: Api) -> Case:
    read = ("gateway.v1.ApiKeyService.ListApiKeys", {"page_size": 1})
    return Case({"api_key": {"display_name": "one"}}, {"api_key": {"display_name": "other"}}, "key_id", read)


def tenant(api: Api) -> Case:
    name = unused("once")

    def called(text: str) -> Json:
        return {"tenant": {"tenant_id": name, "plan": "pro", "display_name": text}}

    read = ("gateway.v1.TenantService.GetTenant", {"tenant_id": name})
    return Case(called("one"), called("other"), "tenant_id", read)


def changed_tenant(api: Api) -> Case:
    name = unused("once")
    api("gateway.v1.TenantService.CreateTenant", {"tenant": {"tenant_id": name, "plan": "pro"}})

    def called(text: str) -> Json:
        changed = {"tenant_id": name, "display_name": text}
        return {"tenant_id": name, "tenant": changed, "update_mask": "displayName"}

    read = ("gateway.v1.TenantService.GetTenant", {"tenant_id": name})
    later = called("later")
    return Case(
        called("one"), called("other"), "tenant_id", read, lambda _: api("gateway.v1.TenantService.UpdateTenant", later)
    )


CASES: Mapping[str, Callable[[Api], Case]] = {
    "assets.v1.AssetService.UploadAsset": upload,
    "critic.v1.CriticService.Evaluate": evaluation,
    "critic.v1.RubricService.CreateRubric": rubric,
    "critic.v1.RubricService.UpdateRubric": changed_rubric,
    "executor.v1.JobService.SubmitJob": job,
    "executor.v1.JobService.CancelJob": cancelled_job,
    "executor.v1.JobService.ResumeJob": resumed_job,
    "gateway.v1.ApiKeyService.CreateApiKey": key,
    "gateway.v1.TenantService.CreateTenant": tenant,
    "gateway.v1.TenantService.UpdateTenant": changed_tenant,
    "registry.v1.CapabilityService.RegisterCapability": register,
    "registry.v1.CapabilityService.UpdateCapability": update,
    "registry.v1.CapabilityService.DisableCapability": disable,
    "registry.v1.CapabilityService.DeleteCapability": delete,
    "registry.v1.CapabilityService.ResetFailures": reset,
    "registry.v1.CapabilityService.SetLadder": ladder,
    "selector.v1.BudgetService.SetBudget": budget,
    "selector.v1.SelectorService.Select": selection,
}
