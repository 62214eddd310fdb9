"""What is costly to keep: loaded with its first use, let go after a term without any."""

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
    """Something that `load` makes, used by one thread at a time, and kept for `idle_s` seconds after its last use.

    It is never let go of while it is used. `keep` watches the term; without it nothing is let go.
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

    async def keep(self) -> None:
        """Let go of it whenever its term is over, for ever."""
        pause = self._idle_s
        while True:
            await self._clock.sleep(pause)
            pause = await asyncio.to_thread(self._unload_if_idle)

    def release(self) -> bool:
        """Let go of it now; False when it is in use."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._unload()
        finally:
            self._lock.release()
        return True

    def _unload_if_idle(self) -> float:
        """Let go of it if it is idle; give the seconds until it may be."""
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
            get_logger("mesh.idle").info("let go of what was loaded", what=self._name)


def _trim_heap() -> None:
    """Give freed memory back to the system: the allocator of Linux would keep most of it for later."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
