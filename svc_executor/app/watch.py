"""Watching a job: its timeline from a given place, then live."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from svc_executor.app.recorder import TimelineEntry
from svc_executor.domain.timeline import EventType

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from svc_executor.app.ports import JobStore
    from svc_executor.app.recorder import Recorder
    from svc_executor.domain.timeline import JobEvent

_BATCH = 200


class WatchJob:
    """Streams a timeline without gap or duplicate. The end of a run is terminal only while no other run followed it.

    A watcher that was not woken for `poll_s` seconds reads the timeline by itself.
    """

    def __init__(self, store: JobStore, recorder: Recorder, *, poll_s: float = 10.0) -> None:
        self._store = store
        self._recorder = recorder
        self._poll_s = poll_s

    async def __call__(self, tenant_id: str, job_id: str, after: int) -> AsyncGenerator[JobEvent, None]:
        """Events with a sequence above `after`; ends with the terminal one. NOT_FOUND, before the first event."""
        async with self._store.wakeup(job_id) as wakeup:
            while True:
                batch = await self._store.events(tenant_id, job_id, after, _BATCH)
                for event in batch:
                    ends = event.terminal and not await self._store.events(tenant_id, job_id, event.sequence, 1)
                    yield event if ends == event.terminal else replace(event, terminal=False)
                    after = event.sequence
                    if ends:
                        return
                if not batch:
                    if await self._has_seen_end(tenant_id, job_id, after):
                        return
                    await wakeup.wait(self._poll_s)

    async def _has_seen_end(self, tenant_id: str, job_id: str, after: int) -> bool:
        """Whether the caller has seen the end already."""
        job = await self._store.job(tenant_id, job_id)
        return job.state.ended and not await self._store.events(tenant_id, job_id, after, 1)

    async def heartbeat(self, tenant_id: str, job_id: str) -> JobEvent:
        """The state of the job where nothing happened."""
        job = await self._store.job(tenant_id, job_id)
        return self._recorder.event(job, TimelineEntry(EventType.HEARTBEAT, ""))
