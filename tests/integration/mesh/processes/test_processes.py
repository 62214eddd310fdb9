"""Child processes: what they do, what ends them, and that nothing else ends with them."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from mesh.clock import SystemClock
from mesh.errors import Reason, SomaError
from mesh.processes import (
    CpuUsage,
    ProcessEndedError,
    ProcessLimits,
    ProcessPool,
    ResourceLimitError,
    TimeLimitError,
)  # fmt: skip
from mesh.processes.program import run_program
from mesh.testing import FakeClock
from mesh.testing.contract import eventually
from tests.integration.mesh.processes import process_work as work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

TENANT = "acme"


def pool_of(clock: FakeClock | None = None, **limits: float) -> AbstractAsyncContextManager[ProcessPool]:
    return ProcessPool.open("probe", ProcessLimits(**limits), clock or SystemClock())  # type: ignore[arg-type]


@pytest.fixture
async def pool() -> AsyncIterator[ProcessPool]:
    async with pool_of(cpu_s=1.0, memory_mb=256, result_mb=4) as opened:
        yield opened


async def test_result_comes_from_another_process_that_is_used_again(pool: ProcessPool) -> None:
    first = await pool.run(work.identity, tenant_id=TENANT)
    assert psutil.pid_exists(first)
    assert first != psutil.Process().pid
    assert await pool.run(work.identity, tenant_id=TENANT) == first


async def test_large_arguments_and_results_arrive(pool: ProcessPool) -> None:
    text = bytes(range(256)) * 4_096
    assert await pool.run(work.double, text, tenant_id=TENANT) == text * 2


async def test_error_of_the_function_is_raised_with_where_it_was(pool: ProcessPool) -> None:
    with pytest.raises(ValueError, match="too small") as caught:
        await pool.run(work.refuse, "too small", tenant_id=TENANT)
    assert "process_work.py" in caught.value.__notes__[0]


async def test_error_that_cannot_be_read_back_is_told_in_words(pool: ProcessPool) -> None:
    with pytest.raises(RuntimeError, match="OddError: odd"):
        await pool.run(work.refuse_oddly, tenant_id=TENANT)


async def test_work_that_holds_the_interpreter_is_ended_and_the_pool_goes_on(pool: ProcessPool) -> None:
    before = await pool.run(work.identity, tenant_id=TENANT)
    with pytest.raises(TimeLimitError, match="processor time"):
        await pool.run(work.spin, tenant_id=TENANT)
    assert not psutil.pid_exists(before)
    assert await pool.run(work.identity, tenant_id=TENANT) != before


async def test_work_that_only_waits_is_ended(pool: ProcessPool) -> None:
    with pytest.raises(TimeLimitError, match=r"0\.2 seconds"):
        await pool.run(work.stand_still, tenant_id=TENANT, time_s=0.2)


async def test_memory_has_a_limit(pool: ProcessPool) -> None:
    assert await pool.run(work.allocate, 32, tenant_id=TENANT)
    with pytest.raises(ResourceLimitError, match="256 MiB"):
        await pool.run(work.allocate, 300, tenant_id=TENANT)
    assert await pool.run(work.allocate, 32, tenant_id=TENANT)


async def test_result_has_a_limit(pool: ProcessPool) -> None:
    with pytest.raises(ResourceLimitError):
        await pool.run(work.give, 5, tenant_id=TENANT)


async def test_fault_of_a_native_library_ends_its_process_only(pool: ProcessPool) -> None:
    with pytest.raises(ProcessEndedError):
        await pool.run(work.crash, tenant_id=TENANT)
    assert await pool.run(work.double, b"x", tenant_id=TENANT) == b"xx"


async def test_output_of_libraries_is_not_taken_for_a_result(pool: ProcessPool) -> None:
    assert await pool.run(work.chatter, tenant_id=TENANT) == "quiet"


async def test_child_gets_no_secret_of_the_service(pool: ProcessPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SA01_POSTGRES_DSN", "secret")
    assert "secret" not in (await pool.run(work.environment, tenant_id=TENANT)).values()


async def test_child_holds_nothing_of_the_service(pool: ProcessPool) -> None:
    assert await pool.run(work.modules, tenant_id=TENANT) == []


async def test_cancelled_call_kills_its_process(pool: ProcessPool, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    call = asyncio.create_task(pool.run(work.write_and_stand_still, str(file), tenant_id=TENANT))
    await eventually(lambda: file.exists() and file.read_text() != "")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not psutil.pid_exists(int(file.read_text()))


async def test_one_tenant_leaves_a_process_to_another(tmp_path: Path) -> None:
    async with pool_of(processes=2, per_tenant=1, waiting_per_tenant=2) as pool:
        file = tmp_path / "pid"
        held = [
            asyncio.create_task(pool.run(work.write_and_stand_still, str(file), tenant_id="greedy")) for _ in range(3)
        ]
        await eventually(file.exists)
        with pytest.raises(SomaError) as refused:
            await pool.run(work.identity, tenant_id="greedy")
        assert refused.value.reason is Reason.OVERLOADED
        assert await pool.run(work.double, b"x", tenant_id="innocent") == b"xx"
        for call in held:
            call.cancel()
        await asyncio.gather(*held, return_exceptions=True)


@pytest.mark.skipif(sys.platform != "linux", reason="scheduling classes are Linux's")
async def test_a_call_of_heavy_use_yields_to_all_others(tmp_path: Path) -> None:
    clock = FakeClock()
    use = CpuUsage(clock)
    async with ProcessPool.open("probe", ProcessLimits(), clock, use) as pool:
        spinning = asyncio.create_task(pool.run(work.spin_after, str(tmp_path / "pid"), tenant_id="greedy"))
        await eventually((tmp_path / "pid").exists)
        greedy = int((tmp_path / "pid").read_text())
        assert os.sched_getscheduler(greedy) == os.SCHED_OTHER
        use.record_long_call_usage("greedy", 100.0)
        await eventually(lambda: os.sched_getscheduler(greedy) == os.SCHED_IDLE)
        spinning.cancel()
        await asyncio.gather(spinning, return_exceptions=True)
        lowered = await pool.run(work.identity, tenant_id="greedy")
        assert os.sched_getscheduler(lowered) == os.SCHED_IDLE
        light = await pool.run(work.identity, tenant_id="innocent")
        assert light != lowered
        assert os.sched_getscheduler(light) == os.SCHED_OTHER


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="the kernel does not group by session")
async def test_the_session_of_a_child_for_heavy_use_is_lowered_too() -> None:
    use = CpuUsage(FakeClock())
    use.record_long_call_usage("greedy", 100.0)
    async with ProcessPool.open("probe", ProcessLimits(), FakeClock(), use) as pool:
        child = await pool.run(work.identity, tenant_id="greedy")
        assert work.group_of(child).endswith("nice 19\n")


@pytest.mark.skipif(sys.platform != "linux", reason="processes are told of by Linux")
async def test_a_program_counts_and_yields_while_it_runs(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    script = f"import os; open({str(file)!r}, 'w').write(str(os.getpid()))\nwhile True: pass"
    use = CpuUsage(SystemClock(), long_s=1.0, heavy_s=0.5)
    async with ProcessPool.open("probe", ProcessLimits(), SystemClock(), use) as pool:
        await pool.run(work.identity, tenant_id="innocent")
        argv = (sys.executable, "-c", script)
        call = asyncio.create_task(pool.run(run_program, argv, b"", str(tmp_path), {}, tenant_id="greedy"))
        await eventually(lambda: file.exists() and file.read_text() != "")
        program = int(file.read_text())
        await eventually(lambda: use.is_heavy("greedy") and os.sched_getscheduler(program) == os.SCHED_IDLE)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert use.is_heavy("greedy")


async def test_heavy_calls_do_not_hold_back_another_tenant(tmp_path: Path) -> None:
    clock = FakeClock()
    use = CpuUsage(clock)
    async with ProcessPool.open("probe", ProcessLimits(processes=2, per_tenant=2), clock, use) as pool:
        files = [tmp_path / str(number) for number in range(2)]
        held = [
            asyncio.create_task(pool.run(work.spin_after, str(file), tenant_id=f"greedy{number}"))
            for number, file in enumerate(files)
        ]
        await eventually(lambda: all(file.exists() for file in files))
        for number in range(2):
            use.record_long_call_usage(f"greedy{number}", 100.0)
        assert await pool.run(work.double, b"x", tenant_id="innocent") == b"xx"
        assert not any(call.done() for call in held)
        for call in held:
            call.cancel()
        await asyncio.gather(*held, return_exceptions=True)


async def test_a_long_call_makes_its_tenant_heavy() -> None:
    use = CpuUsage(SystemClock(), long_s=0.2, heavy_s=0.1)
    async with ProcessPool.open("probe", ProcessLimits(cpu_s=1.0), SystemClock(), use) as pool:
        await pool.run(work.identity, tenant_id="innocent")
        with pytest.raises(TimeLimitError):
            await pool.run(work.spin, tenant_id="greedy")
        assert use.is_heavy("greedy")
        assert not use.is_heavy("innocent")


async def test_a_program_that_a_call_started_ends_with_it(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    script = f"import os, signal; open({str(file)!r}, 'w').write(str(os.getpid())); signal.pause()"
    async with pool_of() as pool:
        argv = (sys.executable, "-c", script)
        call = asyncio.create_task(pool.run(run_program, argv, b"", str(tmp_path), {}, tenant_id=TENANT))
        await eventually(lambda: file.exists() and file.read_text() != "")
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await eventually(lambda: not psutil.pid_exists(int(file.read_text())))


async def test_a_program_gets_its_input_and_gives_its_output(pool: ProcessPool, tmp_path: Path) -> None:
    script = "import sys; sys.stdout.write(sys.stdin.read() * 2); sys.stderr.write('e'); sys.exit(3)"
    argv = (sys.executable, "-c", script)
    assert await pool.run(run_program, argv, b"in", str(tmp_path), {}, tenant_id=TENANT) == (3, b"inin", b"e")


async def test_idle_processes_end(tmp_path: Path) -> None:
    clock = FakeClock()
    async with pool_of(clock, idle_s=60.0) as pool:
        child = await pool.run(work.identity, tenant_id=TENANT)
        await clock.advance(100.0)
        await eventually(lambda: not psutil.pid_exists(child))


async def test_process_is_replaced_after_its_calls() -> None:
    async with pool_of(calls=2) as pool:
        seen = [await pool.run(work.identity, tenant_id=TENANT) for _ in range(4)]
    assert (seen[0] == seen[1], seen[2] == seen[3], len(set(seen))) == (True, True, 2)


async def test_children_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    program = f"""
import asyncio
from mesh.clock import SystemClock
from mesh.processes import ProcessLimits, ProcessPool
from tests.integration.mesh.processes import process_work as work
async def main():
    async with ProcessPool.open("probe", ProcessLimits(), SystemClock()) as pool:
        await pool.run(work.write_and_stand_still, {str(file)!r}, tenant_id="t")
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    await eventually(lambda: file.exists() and file.read_text() != "")
    child = int(file.read_text())
    parent.kill()
    await parent.wait()
    await eventually(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)
