"""Invariant 18: every released version of the workflow replays. Histories are made by `record_histories.py`."""

from __future__ import annotations

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import NondeterminismError

from svc_provenance.workflows.requeue import ADVANCE, RequeueWorkflow

HISTORIES = sorted(Path(__file__).with_name("histories").glob("*.json"))


def history(file: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(file.stem, file.read_text(encoding="utf-8"))


def replayer() -> Replayer:
    passed = SandboxRestrictions.default.with_passthrough_modules("mesh")
    return Replayer(workflows=[RequeueWorkflow], workflow_runner=SandboxedWorkflowRunner(restrictions=passed))


def test_there_are_histories_of_each_kind_of_run() -> None:
    assert {file.stem.partition("_")[0] for file in HISTORIES} >= {"resolved", "exhausted", "discarded"}


@pytest.mark.parametrize("file", HISTORIES, ids=lambda file: file.stem)
async def test_a_released_history_replays(file: Path) -> None:
    await replayer().replay_workflow(history(file))


async def test_a_history_of_another_activity_is_refused() -> None:
    """The planted bug: a workflow that once did something else first."""
    text = HISTORIES[0].read_text(encoding="utf-8").replace(ADVANCE, "look_at_letter")
    with pytest.raises(NondeterminismError):
        await replayer().replay_workflow(WorkflowHistory.from_json("other", text))
