"""Compiling plans: who sends many large ones waits for them, and nobody else does."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from svc_executor.app.compile import CompilePlan, is_large
from svc_executor.domain.task_dsl import Plan
from tests.unit.executor.rig import plan, task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soma_providers.port import JsonValue

SMALL = plan(task("small"))
LARGE = plan(task("large", params={"prompt": "x" * 200_000}))


class SlowCompiler:
    """Does not finish a large plan until it may."""

    def __init__(self) -> None:
        self.started = 0
        self.may_finish = threading.Event()

    def compile(self, document: Mapping[str, JsonValue]) -> Plan:
        if document is LARGE:
            self.started += 1
            assert self.may_finish.wait(30)
        return Plan("", (), ())


@pytest.mark.parametrize(
    ("document", "large"),
    [
        (SMALL, False),
        (LARGE, True),
        (plan(task("many", params={"values": [0] * 1_001})), True),
        (plan(task("many", params={"values": [[0] * 100] * 11})), True),
        (plan(task("few", params={"prompt": "x" * 90_000, "values": [[0] * 100] * 9})), False),
    ],
)
def test_a_plan_is_large_by_its_values_or_its_text(document: dict[str, JsonValue], large: bool) -> None:
    assert is_large(document) is large


async def test_whoever_goes_away_holds_the_slot_until_the_thread_is_free() -> None:
    compiler = SlowCompiler()
    compile_plan = CompilePlan(compiler)  # type: ignore[arg-type]  # all that is used of it
    first, second = (asyncio.create_task(compile_plan("tenant-a", LARGE)) for _ in range(2))
    try:
        while not compiler.started:
            await compile_plan("tenant-b", SMALL)
        first.cancel()
        await compile_plan("tenant-b", SMALL)
        await compile_plan("tenant-b", SMALL)
        assert compiler.started == 1
    finally:
        compiler.may_finish.set()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second


async def test_of_the_large_plans_of_a_tenant_one_is_compiled_and_others_go_on() -> None:
    compiler = SlowCompiler()
    compile_plan = CompilePlan(compiler)  # type: ignore[arg-type]  # all that is used of it
    many = [asyncio.create_task(compile_plan("tenant-a", LARGE)) for _ in range(4)]
    try:
        for tenant in ("tenant-a", "tenant-b"):
            assert await compile_plan(tenant, SMALL) == Plan("", (), ())
        assert compiler.started == 1
    finally:
        compiler.may_finish.set()
    await asyncio.gather(*many)
    assert compiler.started == 4
