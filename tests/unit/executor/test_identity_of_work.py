"""In whose name activities call the executor's peers, however long they take."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest
from temporalio.testing import ActivityEnvironment

from mesh.context import current
from svc_executor.domain.job import executor_identity
from svc_executor.domain.run import AttemptInput, AttemptResult, CloseRunInput, JobRun
from svc_executor.workflows.activities import JobActivities
from tests.unit.executor.rig import OWNER, Rig, plan, task

if TYPE_CHECKING:
    from svc_executor.domain.job import CallerIdentity


class CountedTokens:
    """Makes a token for each call."""

    def __init__(self) -> None:
        self.owners: list[CallerIdentity] = []

    async def token_for(self, owner: CallerIdentity) -> str:
        """See the port."""
        self.owners.append(owner)
        return f"token {len(self.owners)}"


async def sent(*_: object) -> AttemptResult:
    """The token that a call to a peer carries now."""
    request = current()
    assert request is not None
    assert request.renew_token is not None
    return cast("AttemptResult", await request.renew_token())


@pytest.mark.parametrize("closing", [False, True])
async def test_each_call_of_an_activity_has_a_token_of_that_moment(*, closing: bool) -> None:
    rig, identity = Rig(), CountedTokens()
    job = await rig.submit(plan(task("a")))
    job_run = JobRun(job.tenant_id, job.job_id, job.run)
    tokens: list[object] = []

    async def two_calls(*_: object) -> None:
        tokens.extend([await sent(), await sent()])

    use_cases = replace(rig.use_cases(), attempt=two_calls, close_run=two_calls)  # type: ignore[arg-type]
    activities = JobActivities(use_cases, rig.store, identity)
    if closing:
        await ActivityEnvironment().run(activities.close_run, CloseRunInput(job_run, "COMPLETED", ""))
    else:
        await ActivityEnvironment().run(activities.attempt, AttemptInput(job_run, "a", 1))
    assert tokens == ["token 2", "token 3"]
    assert {*identity.owners} == {executor_identity(job.tenant_id) if closing else OWNER}
