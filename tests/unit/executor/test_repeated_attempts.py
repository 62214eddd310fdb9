"""A free attempt that is made again gives other bytes, and those of the try before stay with nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from soma_providers.port import Artefact, InvocationResult
from svc_executor.domain.job import JobState
from svc_executor.domain.peers import Upload
from svc_executor.domain.run import CloseRunInput
from tests.in_memory.executor.peers import MemoryAssets
from tests.unit.executor.rig import Rig, task
from tests.unit.executor.test_paid_once import Killed, away
from tests.unit.executor.test_run_steps import Run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from soma_providers.port import JsonValue

ENDS = [(JobState.COMPLETED, {}), (JobState.PARTIAL, {}), (JobState.FAILED, {"keep_assets_on_failure": True})]


async def killed(*_: object) -> None:
    raise Killed


def picture(content: bytes) -> Artefact:
    return Artefact(content, "image/png", "p.png", "screenshot")


async def pictured(**overrides: JsonValue) -> Run:
    """A run whose attempt is chosen; each call of its provider takes another picture."""
    rig = Rig()
    numbers = iter(range(10))
    rig.catalogue.providers["mermaid"].script = lambda _: InvocationResult((picture(b"page %d" % next(numbers)),))
    run = await Run.of(task("a"), rig=rig, policy_overrides=overrides)
    await run.steps.select(run.select("a"))
    return run


async def interrupted(run: Run, monkeypatch: pytest.MonkeyPatch, record: Callable[..., Awaitable[None]]) -> None:
    """Try the attempt once: what it made is stored, and neither recorded nor kept."""
    with monkeypatch.context() as patch:
        patch.setattr(run.steps.attempt, "_record", record)
        patch.setattr(run.steps.attempt._calls, "_record_call", away)
        with pytest.raises((SomaError, Killed)):
            await run.steps.attempt(run.attempt("a"))
    assert len(run.rig.assets.stored) == 1


async def close(run: Run, state: JobState, *, last_try: bool = False) -> None:
    await run.steps.close_run(CloseRunInput(run.job_run, state.value, "", last_try=last_try))


@pytest.mark.parametrize("record", [away, killed])
async def test_an_attempt_that_is_made_again_may_give_other_bytes(
    monkeypatch: pytest.MonkeyPatch, record: Callable[..., Awaitable[None]]
) -> None:
    run = await pictured()
    await interrupted(run, monkeypatch, record)
    assert (await run.steps.attempt(run.attempt("a"))).succeeded
    (step,) = (await run.describe()).steps
    (asset_id,) = step.asset_ids
    assert run.rig.assets.stored[asset_id].upload.artefact.content == b"page 1"
    assert len(run.rig.calls("mermaid")) == 2


@pytest.mark.parametrize(("state", "overrides"), ENDS)
async def test_what_the_try_before_stored_is_given_up_by_a_job_that_keeps_its_results(
    monkeypatch: pytest.MonkeyPatch, state: JobState, overrides: dict[str, JsonValue]
) -> None:
    run = await pictured(**overrides)
    await interrupted(run, monkeypatch, killed)
    await run.steps.attempt(run.attempt("a"))
    await close(run, state)
    description = await run.describe()
    assert await run.rig.assets.list_held(run.job_run.job_id) == list(description.steps[0].asset_ids)
    assert [entry.done for entry in description.compensations] == [True]


@pytest.mark.parametrize(("state", "overrides"), ENDS)
async def test_a_job_that_keeps_its_results_gives_up_nothing_else(
    state: JobState, overrides: dict[str, JsonValue]
) -> None:
    run = await pictured(**overrides)
    await run.steps.attempt(run.attempt("a"))
    await close(run, state)
    description = await run.describe()
    assert await run.rig.assets.list_held(run.job_run.job_id) == list(description.steps[0].asset_ids)
    assert description.compensations == []


async def test_a_job_whose_assets_cannot_be_listed_is_closed_by_the_last_try(monkeypatch: pytest.MonkeyPatch) -> None:
    run = await pictured()
    await run.steps.attempt(run.attempt("a"))
    monkeypatch.setattr(run.rig.assets, "list_held", away)
    with pytest.raises(SomaError):
        await close(run, JobState.COMPLETED)
    await close(run, JobState.COMPLETED, last_try=True)
    assert (await run.describe()).job.state is JobState.COMPLETED
    assert run.rig.assets.released == []


async def test_the_assets_in_memory_refuse_other_bytes_under_one_request_id_as_the_service_does() -> None:
    assets = MemoryAssets()
    upload = Upload(picture(b"one"), "request", "job", "step", "execution")
    assert await assets.store(upload) == await assets.store(upload)
    with pytest.raises(SomaError) as refused:
        await assets.store(Upload(picture(b"other"), "request", "job", "step", "execution"))
    assert refused.value.reason is Reason.IDEMPOTENCY_MISMATCH
