"""Bodies are examined in child processes, and none is read into memory whole."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from mesh.processes import ProcessEndedError, ProcessLimits, ProcessPool, ResourceLimitError, TimeLimitError
from svc_assets.adapters.inspector import ProcessInspector
from svc_assets.adapters.spool import FileSpooler
from svc_assets.domain.limits import SizeLimits
from tests.bench.probes import forget_peak, memory_mib

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHUNK_BYTES = 256 * 1024
LIMIT = SizeLimits(100_000_000).largest({})


async def sound(size: int) -> AsyncIterator[bytes]:
    yield b"RIFF\xff\xff\xff\xffWAVE"
    for _ in range(0, size, CHUNK_BYTES):
        yield os.urandom(CHUNK_BYTES)


async def once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_50_megabytes_add_less_than_64_mebibytes_to_both_processes(tmp_path: Path) -> None:
    async with ProcessPool.open("inspection", ProcessLimits(), SystemClock()) as pool:
        inspector, spooler, others = ProcessInspector(pool), FileSpooler(tmp_path), set(children())
        async with spooler.receive(sound(2_000_000), LIMIT) as small:  # the child loads its libraries
            await inspector.inspect("acme", small)
        [child] = set(children()) - others
        pids = [os.getpid(), child]
        before = sum(map(memory_mib, pids))
        for pid in pids:
            forget_peak(pid)
        async with spooler.receive(sound(50_000_000), LIMIT) as spool:
            found = await inspector.inspect("acme", spool)
        assert (found.detected_type.media_type, found.reason) == ("audio/wav", "")
        assert sum(memory_mib(pid, "VmHWM") for pid in pids) - before < 64


@pytest.mark.parametrize("size", [1_000, 2_000_000], ids=["memory", "file"])
async def test_a_body_is_examined_wherever_it_waits(tmp_path: Path, size: int) -> None:
    eicar = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
    async with (
        ProcessPool.open("inspection", ProcessLimits(), SystemClock()) as pool,
        FileSpooler(tmp_path).receive(once(bytes(size) + eicar), LIMIT) as spool,
    ):
        assert bool(spool.path) is (size > 1_000_000)
        assert (await ProcessInspector(pool).inspect("acme", spool)).check == "scan"
    assert names(tmp_path) == []


class Killed(ProcessPool):
    """A pool whose calls end by a limit."""

    error: Exception = TimeLimitError("it took too long")

    async def run(self, *args: object, **named: object) -> object:  # type: ignore[override]
        raise self.error


@pytest.mark.parametrize("error", [TimeLimitError("t"), ResourceLimitError("m"), ProcessEndedError("e")])
async def test_a_body_that_exceeds_the_limits_is_refused(tmp_path: Path, error: Exception) -> None:
    pool = Killed("inspection", ProcessLimits(), SystemClock())
    pool.error = error
    async with FileSpooler(tmp_path).receive(once(b"GIF89a"), LIMIT) as spool:
        assert (await ProcessInspector(pool).inspect("acme", spool)).check == "limits"


async def test_files_that_a_crash_left_are_removed_and_young_ones_stay(tmp_path: Path) -> None:
    left = tmp_path / "soma-upload-1"
    for path in (left, tmp_path / "other"):
        path.write_bytes(b"x")
    spooler, now = FileSpooler(tmp_path), SystemClock().now()
    assert spooler.remove_leftovers(now - timedelta(hours=1)) == 0
    assert spooler.remove_leftovers(now + timedelta(hours=1)) == 1
    assert names(tmp_path) == ["other"]
