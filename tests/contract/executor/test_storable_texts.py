"""What a provider says can be stored, whatever characters it has in it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh.testing import FakeClock
from soma_providers.openai_chat import adapter as openai_chat
from soma_providers.port import Artefact, EgressResponse, InvocationResult, ProviderContext
from svc_executor.domain.job import ExecutionStatus, StepState
from tests.unit.executor.rig import Candidate, Rig, capability, task
from tests.unit.executor.test_run_steps import Run

if TYPE_CHECKING:
    from soma_providers.port import EgressRequest, Processes
    from svc_executor.app.ports import JobStore

NO_PROCESSES: Processes = None  # type: ignore[assignment]  # a remote provider has none
UNSTORABLE = ["\x00", "\ud83d"]
MODEL = replace(capability("chat", "openai"), endpoint="https://models.example/v1")


class OneAnswer:
    """An egress behind which every endpoint answers the same."""

    def __init__(self, status: int, body: object) -> None:
        self._answer = EgressResponse(status, {}, json.dumps(body).encode())

    async def admit(self, url: str) -> None:
        """Every address may be fetched."""

    def is_listed(self, host: str) -> bool:
        """Nobody is."""
        return not host

    async def fetch(self, request: EgressRequest) -> EgressResponse:
        """Give the answer."""
        assert request.method == "POST"
        return self._answer


async def attempted(store: JobStore, status: int, body: object) -> Run:
    """A run whose text was asked of a chat endpoint that answers so; a local model is the next rung."""
    rig = Rig(
        (Candidate("text_chat", MODEL, prices={"calls": 7}), Candidate("text_chat", capability("talker"))), store=store
    )
    context = ProviderContext(FakeClock(), OneAnswer(status, body), Path(), NO_PROCESSES)
    rig.catalogue.providers["chat"] = openai_chat.create(context)  # type: ignore[assignment]
    run = await Run.of(task("a", "generate_text", params={"prompt": "Name it."}), rig=rig)
    await run.steps.select(run.select("a"))
    return run


@pytest.mark.parametrize("character", UNSTORABLE, ids=["nul", "surrogate"])
async def test_an_error_that_echoes_what_cannot_be_stored_costs_a_rung(store: JobStore, character: str) -> None:
    run = await attempted(store, 400, {"error": {"message": f"what is {character}", "code": f"bad{character}"}})
    result = await run.steps.attempt(run.attempt("a"))
    (execution,) = (await run.describe()).executions
    assert (execution.status, execution.error_code) == (ExecutionStatus.FAILED, "INVALID_INPUT")
    assert execution.error_message.endswith("what is \ufffd")
    again = run.select("a", 2, exclude=[MODEL.capability_id], fallback_reason=result.message, fallback_code=result.code)
    assert (await run.steps.select(again)).capability_id == "talker@local"
    assert (await run.steps.attempt(run.attempt("a", 2))).succeeded


@pytest.mark.parametrize("character", UNSTORABLE, ids=["nul", "surrogate"])
async def test_a_text_with_what_cannot_be_stored_is_stored_and_paid_for_at_its_price(
    store: JobStore, character: str
) -> None:
    choice = {"message": {"content": f"A name {character}"}, "finish_reason": f"stop{character}"}
    usage = {"prompt_tokens": 5, "completion_tokens": 4}
    run = await attempted(store, 200, {"model": f"m{character}", "choices": [choice], "usage": usage})
    assert (await run.steps.attempt(run.attempt("a"))).succeeded
    description = await run.describe()
    (execution,), (step,) = description.executions, description.steps
    assert (step.state, step.text, execution.model) == (StepState.SUCCEEDED, "A name \ufffd", "m\ufffd")
    assert execution.cost_micro_usd == 7
    (asset,) = run.rig.assets.stored.values()
    assert asset.upload.artefact.content.decode() == "A name \ufffd"


@pytest.mark.parametrize("character", UNSTORABLE, ids=["nul", "surrogate"])
async def test_names_and_metadata_of_a_result_can_be_stored_at_any_depth(store: JobStore, character: str) -> None:
    deep = {f"a{character}": [{"b": (f"c{character}", 1, None)}]}
    result = InvocationResult(
        (Artefact(b"\x00", "image/png", f"p{character}.png", "diagram", deep),), f"t{character}", model=f"m{character}"
    )
    run = await Run.of(task("a"), rig=Rig(store=store))
    run.rig.catalogue.providers["mermaid"].script = lambda _: result
    await run.steps.select(run.select("a"))
    assert (await run.steps.attempt(run.attempt("a"))).succeeded
    (execution,) = (await run.describe()).executions
    assert (execution.text, execution.model) == ("t\ufffd", "m\ufffd")
    (asset,) = run.rig.assets.stored.values()
    artefact = asset.upload.artefact
    assert (artefact.content, artefact.filename) == (b"\x00", "p\ufffd.png")
    assert artefact.metadata == {"a\ufffd": [{"b": ["c\ufffd", 1, None]}]}
