"""Wakes those who watch traces: one connection listens for all of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANNEL = "trace_news"
"""The name that the trigger of the facts has used from the first version on."""


class TraceNotifications:
    """Tells of new facts by the job they belong to."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)

    def on_notification(self, job_id: str) -> None:
        """A fact of a job was kept; of any job when it is empty, since notifications may have been missed."""
        jobs = list(self._waiting) if not job_id else [job_id] if job_id in self._waiting else []
        for job in jobs:
            for kept in self._waiting[job]:
                kept.set()

    @contextmanager
    def for_job(self, job_id: str) -> Iterator[asyncio.Event]:
        """An event that is set when a fact of the job was kept; who waits for it clears it."""
        kept = asyncio.Event()
        self._waiting[job_id].add(kept)
        try:
            yield kept
        finally:
            self._waiting[job_id].discard(kept)
            if not self._waiting[job_id]:
                del self._waiting[job_id]
