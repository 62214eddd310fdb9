"""Local tools work in child processes: one tenant's slow source takes nothing from others, and not from the service."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from soma_providers.mermaid import adapter as mermaid
from soma_providers.port import Failure, FailureOrigin, ProviderError
from tests.conformance import harness
from tests.conformance.diagrams import ARCHITECTURE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from soma_providers.port import Invocation, Provider

# Laying this out takes minutes.
SLOW = "flowchart TD\n" + "\n".join(
    f"a{i}[node {i}] --> a{i + 1}[node {i + 1}]\na{i} --> a{(i * 7) % 100}" for i in range(100)
)
ENGINES = ("mermaidx", "novasvg", "matplotlib", "typst")
DRAW_EVERYTHING = f"""
import asyncio, sys
from soma_providers.composer import adapter as composer
from soma_providers.matplotlib_chart import adapter as matplotlib_chart
from soma_providers.mermaid import adapter as mermaid
from soma_providers.pillow_transform import adapter as pillow_transform
from soma_providers.plantuml import adapter as plantuml
from tests.conformance import harness
from tests.conformance.diagrams import ARCHITECTURE

CHART = {{"kind": "bar", "series": [{{"x": ["a", "b"], "y": [1, 2]}}]}}
SECTION = {{"id": "a", "title": "A", "body": "B"}}
DOCUMENT = {{"title": "T", "kind": "report", "sections": [SECTION], "outputs": ["pdf"]}}

async def main():
    async with harness.context() as context:
        for module, params in (
            (mermaid, {{"diagram": ARCHITECTURE}}), (matplotlib_chart, {{"chart": CHART}}), (composer, DOCUMENT)
        ):
            provider = module.create(context)
            await provider.invoke(harness.invocation(params))
            await provider.aclose()
    print(*(name for name in {ENGINES!r} if name in sys.modules))

asyncio.run(main())
"""


def slow(tenant: str, timeout_s: float = 600.0) -> Invocation:
    return harness.invocation({"source": SLOW, "language": "mermaid"}, tenant_id=tenant, timeout_s=timeout_s)


def quick(tenant: str) -> Invocation:
    return harness.invocation({"diagram": ARCHITECTURE}, tenant_id=tenant)


@pytest.fixture(scope="module")
async def engine() -> AsyncIterator[Provider]:
    async with harness.context() as context:
        yield mermaid.create(context)


async def test_a_diagram_is_drawn_while_another_tenants_source_takes_for_ever(engine: Provider) -> None:
    endless = [asyncio.create_task(engine.invoke(slow("a"))) for _ in range(2)]
    drawn = await engine.invoke(quick("b"))
    assert drawn.artefacts
    assert not any(task.done() for task in endless)
    for task in endless:
        task.cancel()
    await asyncio.wait(endless)
    assert (await engine.invoke(quick("a"))).artefacts


async def test_a_source_that_takes_too_long_is_the_callers_fault_and_ends_alone(engine: Provider) -> None:
    error = await harness.refusal(engine, slow("a", timeout_s=1.0))
    assert (error.reason, error.origin) == (Failure.TIMEOUT, FailureOrigin.CALLER)
    assert (await engine.invoke(quick("a"))).artefacts


async def test_the_processor_time_of_a_source_is_bounded() -> None:
    async with harness.processes(cpu_s=1.0) as processes:
        pool = processes.pool("spinning")
        with pytest.raises(ProviderError) as caught:
            await pool.run(sum, _Endless(), tenant_id="a", time_s=60.0)
    assert (caught.value.reason, caught.value.origin) == (Failure.TIMEOUT, FailureOrigin.CALLER)


async def test_what_needs_too_much_memory_is_refused_as_input() -> None:
    async with harness.processes() as processes:
        pool = processes.pool("hungry", memory_mb=128)
        with pytest.raises(ProviderError) as caught:
            await pool.run(bytes, 512 * 1024 * 1024, tenant_id="a", time_s=60.0)
    assert (caught.value.reason, caught.value.origin) == (Failure.INVALID_INPUT, FailureOrigin.CALLER)


def test_engines_are_loaded_in_child_processes_only() -> None:
    done = subprocess.run([sys.executable, "-c", DRAW_EVERYTHING], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


class _Endless:
    """Numbers without end."""

    def __iter__(self) -> _Endless:
        return self

    def __next__(self) -> int:
        return 1
