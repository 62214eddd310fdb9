"""The thread of a local model: one call at a time, tenants in turn, and an end to what takes too long."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from mesh.errors import SomaError
from mesh.fairness import FairSlots
from mesh.processes import ProcessLimits
from soma_providers.port import Failure, FailureOrigin, ProviderBusyError, ProviderError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_RETRY_AFTER_S = 2.0


def _set_nice() -> None:
    """Give this thread, and those that it starts, a nice value, so that the event loop comes first (Linux only)."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), ProcessLimits.nice)


@dataclass
class _Call(Generic[T]):
    work: Callable[[Callable[[], bool]], T]
    started: asyncio.Event = field(default_factory=asyncio.Event)
    stop: threading.Event = field(default_factory=threading.Event)


class ModelThread:
    """Runs work that lets go of the interpreter while it computes, and that asks now and then whether to stop."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._threads = ThreadPoolExecutor(1, name, _set_nice)
        self._slots = FairSlots(name, 1, per_tenant=1)
        self._tasks: set[asyncio.Task[object]] = set()

    async def run(self, tenant_id: str, timeout_s: float, work: Callable[[Callable[[], bool]], T]) -> T:
        """Give the result of `work(stopped)`; raise ProviderError(TIMEOUT) `timeout_s` seconds after it began.

        When the caller is cancelled, or the time is over, the work is told to stop, and the next waits for its end.
        """
        call = _Call(work)
        task = asyncio.create_task(self._work(tenant_id, call))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        started = asyncio.create_task(call.started.wait())
        try:
            await asyncio.wait((task, started), return_when=asyncio.FIRST_COMPLETED)
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(task)
        except TimeoutError:
            raise ProviderError(
                Failure.TIMEOUT, f"{self._name} did not finish within {timeout_s:.0f} s", origin=FailureOrigin.CALLER
            ) from None
        except SomaError as error:
            raise ProviderBusyError(error.message, error.retry_after_s or _RETRY_AFTER_S) from None
        finally:
            started.cancel()
            call.stop.set()
            if not call.started.is_set():
                task.cancel()

    def close(self) -> None:
        """Take no more work; what runs goes on to its end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _work(self, tenant_id: str, call: _Call[T]) -> T:
        async with self._slots.slot(tenant_id):
            call.started.set()
            return await asyncio.get_running_loop().run_in_executor(self._threads, call.work, call.stop.is_set)

    def _ended(self, task: asyncio.Task[T]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may be gone
