"""A costly resource: loaded at its first use, unloaded after a time without any."""

from __future__ import annotations

import asyncio
import ctypes
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

from mesh.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mesh.clock import Clock

T = TypeVar("T")


class LazyResource(Generic[T]):
    """What `load` returns, used by one thread at a time and unloaded `idle_s` seconds after its last use.

    It is never unloaded while in use. `run_idle_unloader` does the unloading; while it does not run, nothing is.
    """

    def __init__(self, name: str, load: Callable[[], T], clock: Clock, idle_s: float) -> None:
        self._name = name
        self._load = load
        self._clock = clock
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._value: T | None = None
        self._used = clock.monotonic()

    @property
    def loaded(self) -> bool:
        """Whether it is there now."""
        return self._value is not None

    @contextmanager
    def use(self) -> Iterator[T]:
        """Have it for oneself, loaded if need be; blocks while another thread has it. Raises what `load` raises."""
        with self._lock:
            if self._value is None:
                self._value = self._load()
            try:
                yield self._value
            finally:
                self._used = self._clock.monotonic()

    async def run_idle_unloader(self) -> None:
        """Unload it whenever it was idle for `idle_s` seconds, until cancelled."""
        pause = self._idle_s
        while True:
            await self._clock.sleep(pause)
            pause = await asyncio.to_thread(self._unload_if_idle)

    def release(self) -> bool:
        """Unload it now; False when it is in use."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._unload()
        finally:
            self._lock.release()
        return True

    def _unload_if_idle(self) -> float:
        """Unload it if it is idle; returns the seconds until it may be."""
        if not self._lock.acquire(blocking=False):
            return self._idle_s
        try:
            remaining = self._used + self._idle_s - self._clock.monotonic()
            if self._value is None or remaining <= 0:
                self._unload()
                return self._idle_s
            return remaining
        finally:
            self._lock.release()

    def _unload(self) -> None:
        if self._value is not None:
            self._value = None
            _trim_heap()
            get_logger("mesh.lazy_resource").info("unloaded an idle resource", what=self._name)


def _trim_heap() -> None:
    """Give freed memory back to the system: the allocator of Linux would keep most of it for later."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
