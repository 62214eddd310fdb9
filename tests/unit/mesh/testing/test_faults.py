"""Planted faults strike where and when they should, and nowhere else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from mesh.testing import faults


async def test_an_unarmed_point_does_nothing() -> None:
    await faults.point("here")


async def test_an_armed_point_fails_from_the_chosen_pass_on() -> None:
    with faults.armed("here", first=3, times=1) as fault:
        await faults.point("here")
        await faults.point("here")
        with pytest.raises(faults.InjectedFault):
            await faults.point("here")
        await faults.point("here")
    assert (fault.passed, fault.injected) == (4, 1)


async def test_other_points_are_not_touched() -> None:
    with faults.armed("here") as fault:
        await faults.point("there")
    assert fault.passed == 0


async def test_a_point_is_disarmed_at_the_end_and_after_nesting() -> None:
    with faults.armed("here"):
        with faults.armed("here", faults.delay(0)):
            await faults.point("here")
        with pytest.raises(faults.InjectedFault):
            await faults.point("here")
    await faults.point("here")


def test_a_child_process_dies_at_its_point() -> None:
    program = (
        "import asyncio; from mesh.testing import faults\n"
        "async def main():\n"
        "    for n in range(5):\n"
        "        print(n, flush=True)\n"
        "        await faults.point('here')\n"
        "asyncio.run(main())"
    )
    environ = {**os.environ, "SA01_PROFILE": "test", faults.VARIABLE: "here=kill@2"}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert (result.returncode, result.stdout) == (-signal.SIGKILL, "0\n1\n")


@pytest.mark.parametrize("text", ["here", "here=explode", "here=kill@x"])
def test_a_wrong_wish_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="SA01_FAULTS"):
        faults.arm_from({faults.VARIABLE: text, "SA01_PROFILE": "test"})


def test_production_cannot_be_armed() -> None:
    with pytest.raises(ValueError, match="SA01_PROFILE=test"):
        faults.arm_from({faults.VARIABLE: "here=kill"})
