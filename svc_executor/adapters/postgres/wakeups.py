"""Wakes the watchers of jobs: one connection listens for all of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Notifier:
    """One watcher's `Wakeup`."""

    def __init__(self) -> None:
        self._notified = asyncio.Event()

    def notify(self) -> None:
        """Wake the watcher."""
        self._notified.set()

    async def wait(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._notified.wait()
        except TimeoutError:
            return False
        self._notified.clear()
        return True


class Wakeups:
    """Notifiers by job."""

    def __init__(self) -> None:
        self._notifiers: dict[str, set[Notifier]] = defaultdict(set)

    def notified(self, job_id: str) -> None:
        """Wake the watchers of a job, or all of them when notifications may have been missed."""
        wanted = (
            [self._notifiers[job_id]] if job_id in self._notifiers else [] if job_id else list(self._notifiers.values())
        )
        for notifiers in wanted:
            for notifier in notifiers:
                notifier.notify()

    @contextmanager
    def for_job(self, job_id: str) -> Iterator[Notifier]:
        """A notifier of a job."""
        notifier = Notifier()
        self._notifiers[job_id].add(notifier)
        try:
            yield notifier
        finally:
            self._notifiers[job_id].discard(notifier)
            if not self._notifiers[job_id]:
                del self._notifiers[job_id]
