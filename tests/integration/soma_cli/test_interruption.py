"""A run of tests that is interrupted leaves no process behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from mesh.testing.contract import eventually
from soma_local.home import Home
from tests.integration.soma_cli.interrupted import HOME, TOLD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Begin = Callable[..., Awaitable["Running"]]

RUN = Path(__file__).with_name("interrupted.py")
ROOT = Path(__file__).parents[3]
PROGRAM = """
import signal, sys, pytest
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(pytest.main(sys.argv[1:]))
"""
"""Runs pytest so that it hears SIGINT, also where this run ignores it, as jobs in the background of a shell do."""


class Running:
    """A run of tests in a process of its own, and all the processes that it started."""

    def __init__(self, process: asyncio.subprocess.Process, told: Path) -> None:
        self.process = process
        self.told = told
        self.started: list[psutil.Process] = []

    async def until_told(self) -> None:
        def is_told() -> bool:
            assert self.process.returncode is None, "the run has ended"
            return self.told.exists() and bool(self.told.read_text())

        await eventually(is_told, within_s=600.0)
        named = [psutil.Process(pid) for pid in json.loads(self.told.read_text())]
        below = [
            child for each in (psutil.Process(self.process.pid), *named) for child in each.children(recursive=True)
        ]
        self.started = [*named, *below]

    def is_over(self) -> bool:
        return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in self.left())

    def left(self) -> list[psutil.Process]:
        return [each for each in self.started if each.is_running()]


@pytest.fixture
async def begin(tmp_path: Path) -> AsyncIterator[Begin]:
    runs: list[Running] = []

    async def run(home: Path | None = None) -> Running:
        told = tmp_path / "told.json"
        environ = {**os.environ, TOLD: str(told), **({HOME: str(home)} if home else {})}
        argv = [sys.executable, "-c", PROGRAM, "-n0", "-p", "no:cacheprovider", "--timeout", "1200", str(RUN)]
        null = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*argv, cwd=ROOT, env=environ, stdout=null, stderr=null)
        runs.append(Running(process, told))
        await runs[-1].until_told()
        return runs[-1]

    yield run
    for each in runs:
        for process in each.left():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        with contextlib.suppress(ProcessLookupError):
            each.process.kill()
        await each.process.wait()


@pytest.mark.timeout(900)
async def test_a_killed_run_leaves_neither_database_nor_mesh(begin: Begin, tmp_path: Path) -> None:
    running = await begin(Home(tmp_path / "home").root)
    assert len(running.started) > 8
    running.process.kill()
    await running.process.wait()
    await eventually(running.is_over, within_s=180.0)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupted_run_leaves_no_database(begin: Begin, number: signal.Signals) -> None:
    running = await begin()
    running.process.send_signal(number)
    await running.process.wait()
    await eventually(running.is_over, within_s=180.0)
