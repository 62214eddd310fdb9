"""A child process that does not end at once."""

from __future__ import annotations

import asyncio

from mesh.processes import ProcessLimits
from mesh.processes.child import Child


class Pipe:
    """Takes all, and never answers."""

    def write(self, _: bytes) -> None:
        return

    async def drain(self) -> None:
        return

    async def readexactly(self, _: int) -> bytes:
        await asyncio.Event().wait()
        return b""


class Dying:
    """A process that was killed and is not gone yet."""

    pid = 2**30
    returncode = None

    def __init__(self) -> None:
        self.stdin = self.stdout = Pipe()
        self.killed = asyncio.Event()

    def kill(self) -> None:
        self.killed.set()

    async def wait(self) -> None:
        await asyncio.Event().wait()


async def test_a_child_whose_caller_leaves_before_it_is_gone_gets_no_other_call() -> None:
    process = Dying()
    child = Child(process, ProcessLimits())  # type: ignore[arg-type]
    assert child.usable
    call = asyncio.create_task(child.call(len, ((),), 60.0))
    await asyncio.sleep(0)
    call.cancel()
    await process.killed.wait()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert call.cancelled()
    assert not child.usable
