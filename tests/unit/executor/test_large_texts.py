"""A step keeps no more of a large text than other steps may be given."""

from __future__ import annotations

from svc_executor.domain.inputs import MAX_INSERTED_CHARS, MAX_TEXT_CHARS
from tests.unit.executor.rig import Rig, task, text_result
from tests.unit.executor.test_run_steps import TENANT, Run

WRITER = task("a", "generate_text", params={"prompt": "much"})
READER = task("b", depends_on=["a"], params={"source": "graph TD; A[${a.text}]"})


async def written(text: str) -> Run:
    """A job of which the first step wrote a text."""
    rig = Rig()
    rig.catalogue.providers["talker"].script = text_result(text)
    run = await Run.of(WRITER, READER, rig=rig)
    await run.steps.select(run.select("a"))
    assert (await run.steps.attempt(run.attempt("a"))).succeeded
    return run


async def test_a_text_that_is_too_large_for_others_is_kept_in_its_asset_alone() -> None:
    text = "x" * (MAX_TEXT_CHARS + 1_000)
    run = await written(text)
    async with run.rig.store.transaction(TENANT, run.job_run.job_id) as transaction:
        step = await transaction.step("a")
    assert len(step.text) == MAX_TEXT_CHARS
    asset = await run.rig.assets.load(await run.rig.assets.describe(step.asset_ids[0]))
    assert asset.content == text.encode()
    choice = await run.steps.select(run.select("b"))
    assert not choice.has_capability
    assert "more than 1,000,000 characters" in choice.message


async def test_a_text_that_others_may_be_given_is_kept_whole() -> None:
    run = await written("x" * MAX_INSERTED_CHARS)
    assert (await run.steps.select(run.select("b"))).has_capability
