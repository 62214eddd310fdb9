"""Wakes the watchers of jobs: one connection listens for all of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Bell:
    """One watcher's `Wakeup`."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake the watcher."""
        self._rung.set()

    async def wait(self, seconds: float) -> bool:
        """See the port."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return False
        self._rung.clear()
        return True


class Wakeups:
    """Bells by job."""

    def __init__(self) -> None:
        self._bells: dict[str, set[Bell]] = defaultdict(set)

    def notified(self, job_id: str) -> None:
        """Ring the bells of a job, or all of them when notifications may have been missed."""
        wanted = [self._bells[job_id]] if job_id in self._bells else [] if job_id else list(self._bells.values())
        for bells in wanted:
            for bell in bells:
                bell.ring()

    @contextmanager
    def of(self, job_id: str) -> Iterator[Bell]:
        """A bell of a job."""
        bell = Bell()
        self._bells[job_id].add(bell)
        try:
            yield bell
        finally:
            self._bells[job_id].discard(bell)
            if not self._bells[job_id]:
                del self._bells[job_id]
