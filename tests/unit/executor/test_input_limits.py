"""What one attempt may read, and how many attempts hold large inputs in memory at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.ids import derive
from mesh.testing.clock import FakeClock
from soma_providers.port import InputArtefact, ProviderBusyError
from svc_executor.adapters.input_slots import LargeInputSlots
from svc_executor.domain.inputs import LARGE_INPUT_BYTES, MAX_INPUT_FILES
from svc_executor.domain.peers import AssetInfo
from tests.in_memory.executor.peers import MemoryAssets
from tests.unit.executor.rig import Rig, ScriptedProvider, task
from tests.unit.executor.test_run_steps import Run

if TYPE_CHECKING:
    from soma_providers.port import Invocation, InvocationResult, JsonValue

MIB = 1024 * 1024


class StoredAssets(MemoryAssets):
    """Assets of sizes that are claimed; each download is noted."""

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self.sizes = {derive("input", str(number)): size for number, size in enumerate(sizes)}
        self.downloads: list[str] = []

    async def describe(self, asset_id: str) -> AssetInfo:
        return AssetInfo(asset_id, "image/png", "picture.png", self.sizes[asset_id])

    async def load(self, asset: AssetInfo) -> InputArtefact:
        self.downloads.append(asset.asset_id)
        return InputArtefact(asset.asset_id, asset.media_type, asset.filename, b"png")


class HeldProvider(ScriptedProvider):
    """Holds its first call until it is told to go on."""

    def __init__(self) -> None:
        super().__init__("local")
        self.is_held = asyncio.Event()
        self.go_on = asyncio.Event()

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        if not self.is_held.is_set():
            self.is_held.set()
            await self.go_on.wait()
        return await super().invoke(invocation)


def composing(step: str, *asset_ids: str) -> dict[str, JsonValue]:
    """A task that reads these stored assets."""
    return task(step, "compose_document", params={"parts": [f"${{asset:{asset_id}}}" for asset_id in asset_ids]})


async def selected(assets: StoredAssets, *tasks: dict[str, JsonValue]) -> Run:
    """A run in which each task has its capability."""
    run = await Run.of(*tasks, rig=Rig(assets=assets))
    for each in tasks:
        await run.steps.select(run.select(str(each["task_id"])))
    return run


@pytest.mark.parametrize("sizes", [[200 * MIB] * 3, [1] * (MAX_INPUT_FILES + 1)], ids=["bytes", "files"])
async def test_too_large_inputs_are_refused_before_any_of_them_is_read(sizes: list[int]) -> None:
    assets = StoredAssets(sizes)
    run = await selected(assets, composing("doc", *assets.sizes))
    result = await run.steps.attempt(run.attempt("doc"))
    assert (result.succeeded, result.code) == (False, "INVALID_INPUT")
    assert result.message == "the step has more than 200 files or 256 MiB of inputs"
    assert (assets.downloads, run.rig.calls("composer")) == ([], [])


async def test_inputs_within_the_bounds_are_read_once_each() -> None:
    assets = StoredAssets([1] * MAX_INPUT_FILES)
    run = await selected(assets, composing("doc", *assets.sizes))
    assert (await run.steps.attempt(run.attempt("doc"))).succeeded
    assert assets.downloads == list(assets.sizes)


async def test_a_tenant_holds_the_large_inputs_of_one_attempt_until_its_call_is_over() -> None:
    assets = StoredAssets([LARGE_INPUT_BYTES + 1, LARGE_INPUT_BYTES + 1, LARGE_INPUT_BYTES])
    first, second, small = assets.sizes
    run = await selected(assets, composing("first", first), composing("second", second), composing("small", small))
    provider = run.rig.catalogue.providers["composer"] = HeldProvider()
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        held = tasks.create_task(run.steps.attempt(run.attempt("first")))
        await provider.is_held.wait()
        with pytest.raises(SomaError) as refused:
            await run.steps.attempt(run.attempt("second"))
        assert refused.value.reason is Reason.OVERLOADED
        assert refused.value.retry_after_s
        assert (await run.steps.attempt(run.attempt("small"))).succeeded
        assert assets.downloads == [first, small]
        provider.go_on.set()
    assert held.result().succeeded
    assert (await run.steps.attempt(run.attempt("second"))).succeeded


def test_a_process_holds_the_large_inputs_of_few_attempts_and_tenants_take_turns() -> None:
    slots = LargeInputSlots(FakeClock(), slots=1)
    with slots.enter("a"), pytest.raises(ProviderBusyError, match="the memory for large inputs"), slots.enter("b"):
        pass
    with pytest.raises(ProviderBusyError), slots.enter("a"):
        pass
    with slots.enter("b"):
        pass
