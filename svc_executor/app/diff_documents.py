"""Comparing two revisions of a composed document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError, not_found
from mesh.fairness import FairSlots
from svc_executor.domain.documents import Revision
from svc_executor.domain.inputs import InputBudget, InputsTooLargeError, asset_inputs, provider_params, resolved_params
from svc_executor.domain.task_dsl import StepType

if TYPE_CHECKING:
    from soma_providers.port import InputArtefact
    from svc_executor.app.ports import Assets, Differ, JobStore
    from svc_executor.domain.documents import DocumentDiff, RevisionRef
    from svc_executor.domain.job import Execution, Step

_CONCURRENCY, _MAX_WAITING_PER_TENANT = 2, 8


class DiffDocuments:
    """Reads what both documents were composed from, and compares them. Two run at once, one for each tenant."""

    def __init__(self, store: JobStore, assets: Assets, differ: Differ) -> None:
        self._store = store
        self._assets = assets
        self._differ = differ
        self._slots = FairSlots(
            "comparing documents", _CONCURRENCY, per_tenant=1, waiting_per_tenant=_MAX_WAITING_PER_TENANT
        )

    async def __call__(self, tenant_id: str, old: RevisionRef, new: RevisionRef) -> DocumentDiff:
        """The differences; raises NOT_FOUND for a job or step that does not exist, FAILED_PRECONDITION for no document.

        The bytes of the inputs are held from here to the end of the comparison.
        """
        async with self._slots.slot(tenant_id):
            budget = InputBudget()
            try:
                before = await self._revision(tenant_id, old, budget)
                after = await self._revision(tenant_id, new, budget)
            except InputsTooLargeError as error:
                raise SomaError(Reason.FAILED_PRECONDITION, f"The documents have {error}") from None
            return await self._differ(tenant_id, before, after)

    async def _revision(self, tenant_id: str, ref: RevisionRef, budget: InputBudget) -> Revision:
        steps, execution = await self._recorded(tenant_id, ref)
        step = steps[ref.step_id]
        if execution is None or step.task.step_type is not StepType.COMPOSE_DOCUMENT:
            raise _no_document(ref)
        own = provider_params(step.task, execution.params or resolved_params(step.task, steps))
        inputs: dict[str, InputArtefact | str] = {}
        for source in asset_inputs(step.task, steps):
            for position, asset_id in enumerate(source.asset_ids):
                artefact = await self._load(asset_id, budget)
                if artefact is not None:
                    ending = artefact.filename.rpartition(".")[2].lower()
                    inputs[source.name if position == 0 else f"{source.name}.{ending}"] = artefact
        # What was erased since is a gap like any other.
        return Revision({**execution.capability.default_parameters, **own, "missing_assets": "mark"}, inputs)

    async def _recorded(self, tenant_id: str, ref: RevisionRef) -> tuple[dict[str, Step], Execution | None]:
        """The step with those it depends on, and its accepted attempt."""
        try:
            async with self._store.transaction(tenant_id, ref.job_id) as transaction:
                steps = await transaction.step_with_inputs(ref.step_id)
                return steps, await transaction.execution(ref.step_id, steps[ref.step_id].accepted_attempt)
        except KeyError:
            raise not_found("step", ref.step_id) from None

    async def _load(self, asset_id: str, budget: InputBudget) -> InputArtefact | None:
        try:
            asset = await self._assets.describe(asset_id)
            budget.spend(asset.size_bytes)
            return await self._assets.load(asset)
        except SomaError as error:
            if error.reason in {Reason.NOT_FOUND, Reason.FAILED_PRECONDITION}:  # erased, before or meanwhile
                return None
            raise


def _no_document(ref: RevisionRef) -> SomaError:
    return SomaError(Reason.FAILED_PRECONDITION, f"Step {ref.step_id} of job {ref.job_id} made no document")
