"""What is audited, method by method. A method that changes something stands in one of these tables."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """What the record is told: the action, and the kind of thing that it was done to."""

    action: str
    resource_type: str
    when: str = ""

    def __str__(self) -> str:
        return f"`{self.action}` of `{self.resource_type}`"


AUDITED = {
    "soma.gateway.v1.TokenService.CreateToken": Entry("token.create", "token"),
    "soma.gateway.v1.ApiKeyService.CreateApiKey": Entry("api_key.write", "api_key"),
    "soma.gateway.v1.ApiKeyService.RevokeApiKey": Entry("api_key.write", "api_key"),
    "soma.gateway.v1.TenantService.CreateTenant": Entry("tenant.write", "tenant"),
    "soma.gateway.v1.TenantService.UpdateTenant": Entry("tenant.write", "tenant"),
    "soma.registry.v1.CapabilityService.RegisterCapability": Entry("capability.write", "capability"),
    "soma.registry.v1.CapabilityService.UpdateCapability": Entry("capability.write", "capability"),
    "soma.registry.v1.CapabilityService.DisableCapability": Entry("capability.write", "capability"),
    "soma.registry.v1.CapabilityService.DeleteCapability": Entry("capability.write", "capability"),
    "soma.registry.v1.CapabilityService.ResetFailures": Entry("capability.write", "capability_health"),
    "soma.registry.v1.CapabilityService.ReportHealth": Entry(
        "capability.report_health", "capability_health", "when it takes a capability out of the choice or back"
    ),
    "soma.registry.v1.CapabilityService.SetLadder": Entry("ladder.write", "ladder"),
    "soma.selector.v1.BudgetService.SetBudget": Entry("budget.write", "budget"),
    "soma.selector.v1.SelectorService.Select": Entry(
        "selection.create", "selection", "when policy leaves nothing to choose: a refusal"
    ),
    "soma.executor.v1.JobService.SubmitJob": Entry("job.create", "job"),
    "soma.executor.v1.JobService.CancelJob": Entry("job.cancel", "job"),
    "soma.executor.v1.JobService.ResumeJob": Entry("job.resume", "job"),
    "soma.assets.v1.AssetService.UploadAsset": Entry("asset.create", "asset"),
    "soma.assets.v1.AssetService.DeleteAsset": Entry("asset.delete", "asset"),
    "soma.assets.v1.AssetService.EraseAsset": Entry("asset.erase", "asset"),
    "soma.critic.v1.RubricService.CreateRubric": Entry("rubric.write", "rubric"),
    "soma.critic.v1.RubricService.UpdateRubric": Entry("rubric.write", "rubric"),
    "soma.critic.v1.RubricService.DeleteRubric": Entry("rubric.write", "rubric"),
    "soma.provenance.v1.ReceiptService.SetRetention": Entry("retention.write", "retention"),
    "soma.provenance.v1.DeadLetterService.RequeueDeadLetter": Entry("dead_letter.write", "dead_letter"),
    "soma.provenance.v1.DeadLetterService.RequeueDeadLetters": Entry("dead_letter.write", "dead_letter"),
    "soma.provenance.v1.DeadLetterService.DiscardDeadLetter": Entry("dead_letter.write", "dead_letter"),
}
READS = {
    "soma.assets.v1.AssetService.GetAsset": Entry("asset.read", "asset_metadata", "counted up"),
    "soma.assets.v1.AssetService.DownloadAsset": Entry("asset.read", "asset", "counted up"),
    "soma.assets.v1.AssetService.ListAssets": Entry("asset.read", "asset_list", "counted up"),
}
"""What changes nothing and is audited nevertheless, in batches."""

UNPROMPTED = {
    "a run of a job ends": Entry("job.end", "job"),
    "what a run left behind is undone": Entry("compensation.run", "asset"),
    "an upload is rejected by the scan": Entry("asset.create", "upload", "a refusal"),
}
"""What happens without a method of its own."""

NOT_AUDITED = {
    "soma.selector.v1.BudgetService.RenewReservation": "holds what a selection had reserved; facts tell it",
    "soma.selector.v1.BudgetService.SettleReservation": "books what a selection had reserved; facts tell it",
    "soma.selector.v1.BudgetService.ReleaseReservation": "gives back what a selection had reserved; facts tell it",
    "soma.critic.v1.CriticService.Evaluate": "an evaluation is a fact, and changes nothing that was there",
}
ELSEWHERE = "soma.provenance.v1.DeadLetterService."
"""Driven by the tests of dead letters."""
