"""Who may name the job of a selection, in whose trace it appears."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.errors import Reason, SomaError
from mesh.identity import SERVICE_ROLE, Claims
from mesh.testing.tokens import ALICE
from soma.selector.v1.selection_pb2 import SubjectContext
from tests.contract.selector.serving import request, serving
from tests.unit.selector.selecting import D2

EXECUTOR = "spiffe://soma/executor"
OF_A_JOB = SubjectContext(job_id="j", step_id="a", attempt=1)


@pytest.mark.parametrize("role", ["member", "admin", "platform_admin"])
@pytest.mark.parametrize("dry_run", [False, True])
async def test_a_caller_cannot_name_a_job(role: str, *, dry_run: bool) -> None:
    async with serving([D2], caller=replace(ALICE, roles=(role,))) as selector:
        with pytest.raises(SomaError) as refused:
            await selector.stub.Select(request(subject_context=OF_A_JOB, dry_run=dry_run))
        assert await selector.harness.selector.list("acme", "j", 1, "") == []
    assert refused.value.reason is Reason.INVALID_ARGUMENT
    named = [violation.field for violation in refused.value.fields]
    assert named == ["subject_context.job_id", "subject_context.step_id"]


@pytest.mark.parametrize(
    "service",
    [replace(ALICE, roles=("member",), actor=EXECUTOR), Claims("acme", EXECUTOR, (SERVICE_ROLE,), key_id="")],
    ids=["on behalf", "itself"],
)
async def test_a_service_names_the_job_that_it_runs(service: Claims) -> None:
    async with serving([D2], caller=service) as selector:
        answer = await selector.stub.Select(request(subject_context=OF_A_JOB))
    assert answer.subject_context.job_id == "j"
