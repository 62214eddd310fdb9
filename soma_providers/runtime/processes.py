"""Child processes for adapters: what holds the interpreter or may not end runs there, within limits."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

from mesh.background import detached_context
from mesh.errors import SomaError
from mesh.processes import ProcessEndedError, ProcessLimits, ProcessPool, ResourceLimitError, TimeLimitError
from soma_providers.port import Capacity, Failure, FailureOrigin, ProviderBusyError, ProviderError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from mesh.clock import Clock
    from mesh.processes import CpuUsage

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_log = logging.getLogger(__name__)
_RETRY_AFTER_S = 2.0
_PER_TENANT = 1
# The time of a call is its invocation's; on a busy machine its processor time is what ends it.
_LONGEST_S = 3_600.0


class ChildProcesses:
    """`Processes` with up to `processes` children in each pool, one of them for one tenant. Times are in seconds."""

    def __init__(self, clock: Clock, use: CpuUsage, *, processes: int, cpu_s: float, idle_s: float) -> None:
        self.capacity = Capacity(processes, _PER_TENANT, reserved=processes // 2)
        self._clock = clock
        self._use = use
        self._cpu_s = cpu_s
        self._idle_s = idle_s
        self._stack = AsyncExitStack()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ChildProcesses]:
        """Pools can be used while entered; at the end all children are killed."""
        async with self._stack:
            yield self

    def pool(self, name: str, *, memory_mb: int = 512) -> _Pool:
        """See the port."""
        limits = ProcessLimits(
            processes=self.capacity.slots, per_tenant=_PER_TENANT, cpu_s=self._cpu_s, time_s=_LONGEST_S,
            memory_mb=memory_mb, idle_s=self._idle_s,
        )  # fmt: skip
        return _Pool(
            name, lambda: self._stack.enter_async_context(ProcessPool.open(name, limits, self._clock, self._use))
        )


class _Pool:
    """A `Pool` that is opened with its first call."""

    def __init__(self, name: str, open_pool: Callable[[], Coroutine[None, None, ProcessPool]]) -> None:
        self._name = name
        self._open = open_pool
        self._opened: asyncio.Task[ProcessPool] | None = None

    async def run(self, function: Callable[[*Ts], T], *args: *Ts, tenant_id: str, time_s: float) -> T:
        """See the port."""
        if time_s <= 0:
            raise ProviderError(Failure.TIMEOUT, f"{self._name} had no time left", origin=FailureOrigin.CALLER)
        pool = await self._pool()
        try:
            return await pool.run(function, *args, tenant_id=tenant_id, time_s=time_s)
        except TimeLimitError as error:
            raise ProviderError(
                Failure.TIMEOUT, f"{self._name} gave up: {error}", origin=FailureOrigin.CALLER
            ) from None
        except ResourceLimitError:
            raise ProviderError(Failure.INVALID_INPUT, f"{self._name} needs more memory for this than it has") from None
        except ProcessEndedError as error:
            raise ProviderError(
                Failure.UNAVAILABLE, f"{self._name} failed: {error}", origin=FailureOrigin.PLATFORM
            ) from None
        except SomaError as error:
            raise ProviderBusyError(error.message, error.retry_after_s or _RETRY_AFTER_S) from None
        except ProviderError as error:
            if error.origin is FailureOrigin.PLATFORM:
                _log.warning("%s: %s\n%s", self._name, error.message, "\n".join(getattr(error, "__notes__", ())))
            raise

    async def _pool(self) -> ProcessPool:
        if self._opened is None:
            # In a context of its own: what a pool runs for itself must not bear the identity of its first caller.
            self._opened = asyncio.create_task(self._open(), context=detached_context())
        return await asyncio.shield(self._opened)
