"""A job whose key is revoked while it runs, on the real Temporal server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.ids import SystemIds
from mesh.testing import Issuer
from svc_executor.adapters.caller_tokens import MintedTokens
from svc_executor.adapters.temporal import TemporalRunner
from svc_executor.domain.job import JobState, StepState, executor_identity
from svc_executor.workflows.activities import JobActivities
from svc_executor.workflows.workers import job_workers
from tests.unit.executor.rig import OWNER, Rig, picture, states, task

if TYPE_CHECKING:
    from temporalio.client import Client

    from soma_providers.port import Invocation, InvocationResult

STEPS = (task("photo", "generate_image"), task("after", "generate_image", depends_on=["photo"]))


async def test_a_job_of_a_revoked_key_calls_no_more_providers_and_is_closed(temporal_client: Client) -> None:
    rig, queue, revoked = Rig(), f"jobs-{SystemIds().new()}", set[str]()
    issuer = await Issuer.create()

    def revoking(invocation: Invocation) -> InvocationResult:
        revoked.add(OWNER.key_id)
        return picture(invocation)

    rig.runner = TemporalRunner(temporal_client, queue)
    rig.catalogue.providers["painter"].script = revoking
    identity = MintedTokens(issuer.minter, revoked.__contains__)
    async with job_workers(temporal_client, queue, JobActivities(rig.use_cases(), rig.store, identity)):
        description = await rig.run(*STEPS)
    assert description.job.state is JobState.FAILED
    assert [entry.done for entry in description.compensations] == [True]
    assert states(description)["after"] is StepState.FAILED
    assert len(rig.calls("painter")) == 1
    after = next(step for step in description.steps if step.step_id == "after")
    assert "UNAUTHENTICATED: The key that the job was submitted with has been revoked" in after.message


async def test_a_token_is_refused_also_while_one_is_cached() -> None:
    issuer, revoked = await Issuer.create(), set[str]()
    identity = MintedTokens(issuer.minter, revoked.__contains__)
    assert await identity.token_for(OWNER)
    revoked.add(OWNER.key_id)
    with pytest.raises(SomaError) as refused:
        await identity.token_for(OWNER)
    assert refused.value.reason is Reason.UNAUTHENTICATED
    assert await identity.token_for(executor_identity(OWNER.tenant_id))
