"""Jobs: submit, follow, wait."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from soma_client.errors import JobFailedError
from soma_client.gen.services.job_service import JobServiceMethods
from soma_client.gen.soma.executor import v1 as executor_v1
from soma_client.resuming import resumed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_PATH = "/soma.executor.v1.JobService/WatchJob"
_WITHOUT_RESULT = (executor_v1.JobState.FAILED, executor_v1.JobState.CANCELLED)
_ENDED = (*_WITHOUT_RESULT, executor_v1.JobState.COMPLETED, executor_v1.JobState.PARTIAL)


class Jobs(JobServiceMethods):
    """Durable jobs."""

    async def watch(self, job_id: str, *, after: int = 0) -> AsyncGenerator[executor_v1.JobEvent, None]:
        """Gives the events of a job behind `after` until the last one (`terminal`), without gap or duplicate; none
        when `after` is that of the last.

        A stream that breaks is opened again behind the last event that was given, and heartbeats are left out. Whoever
        stops early closes the iterator (`contextlib.aclosing`). Raises NotFoundError, or the CallError of a stream that
        broke too often in a row.
        """
        place = after

        def begin() -> AsyncGenerator[executor_v1.JobEvent, None]:
            return super(Jobs, self).watch(job_id, after=place)

        def is_new(event: executor_v1.JobEvent) -> bool:
            nonlocal place
            if event.sequence <= place:
                return False
            place = event.sequence
            return True

        ended = False

        async def is_over(advanced: bool) -> bool:
            nonlocal ended
            if advanced:
                return False
            if ended:  # before the stream was opened that had nothing to give
                return True
            ended = (await self.get(job_id)).state in _ENDED
            return False

        stream = resumed(
            self._caller, _PATH, begin, is_new=is_new, is_last=lambda event: event.terminal, is_over=is_over
        )
        async with aclosing(stream) as events:
            async for event in events:
                yield event

    async def wait(self, job_id: str, *, timeout: float | None = None, check: bool = True) -> executor_v1.Job:
        """Waits until a job has ended, and reads it.

        TimeoutError after `timeout` seconds; the job goes on. JobFailedError, unless `check` is false, when it ended as
        FAILED or CANCELLED; a PARTIAL job has results and is given.
        """
        async with asyncio.timeout(timeout), aclosing(self.watch(job_id)) as events:
            async for _ in events:
                pass
        job = await self.get(job_id)
        if check and job.state in _WITHOUT_RESULT:
            raise JobFailedError(job)
        return job
