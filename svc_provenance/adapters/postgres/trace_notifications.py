"""Notifications of new entries of traces: one connection listens for all watchers."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANNEL = "trace_news"
"""The channel of the trigger on entries of traces; its name is that of the first version."""


class TraceNotifications:
    """Notifies watchers of a job when an entry of its trace was stored."""

    def __init__(self) -> None:
        self._watchers: dict[str, set[asyncio.Event]] = defaultdict(set)

    def on_notification(self, job_id: str) -> None:
        """Notifies the watchers of a job; of all jobs when it is empty, since notifications may have been missed."""
        jobs = list(self._watchers) if not job_id else [job_id] if job_id in self._watchers else []
        for job in jobs:
            for stored in self._watchers[job]:
                stored.set()

    @contextmanager
    def for_job(self, job_id: str) -> Iterator[asyncio.Event]:
        """Returns an event that is set when an entry of the job was stored; the watcher clears it."""
        stored = asyncio.Event()
        self._watchers[job_id].add(stored)
        try:
            yield stored
        finally:
            self._watchers[job_id].discard(stored)
            if not self._watchers[job_id]:
                del self._watchers[job_id]
