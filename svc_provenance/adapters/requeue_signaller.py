"""Tells the workflows of dead letters what changed, starting those that do not run."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError

from mesh.errors import SomaError
from svc_provenance.domain.dead_letters import NEWS_SIGNAL, QUEUE, WORKFLOW, DeadLetterRef

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from temporalio.client import Client

    from mesh.clock import Clock
    from svc_provenance.adapters.postgres.dead_letter_claims import DeadLetterChange, DeadLetterClaims

_RPC_TIMEOUT = timedelta(seconds=5)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0
_BATCH = 100
_log = logging.getLogger(__name__)


class RequeueSignaller:
    """Tells each dead letter's workflow of its news. A dead letter has one workflow at a time, named after it.

    News are kept with the dead letters, so nothing is forgotten while Temporal is away. Each dead letter is claimed
    first, so that of several members one tells of it.
    """

    def __init__(self, claims: DeadLetterClaims, client: Client, clock: Clock, queue: str = QUEUE) -> None:
        self._claims = claims
        self._client = client
        self._clock = clock
        self._queue = queue
        self._wake = asyncio.Event()

    def on_notification(self, _: str) -> None:
        """Some dead letter changed."""
        self._wake.set()

    async def work(self, every_s: float, on_counts: Callable[[Mapping[str, int]], None]) -> None:
        """Tell of news at once; look for forgotten ones, and count, now and then. Never ends by itself."""
        pause, count_at = _FIRST_PAUSE_S, self._clock.monotonic()
        while True:
            self._wake.clear()
            try:
                while await self._signal_changed():
                    pass
                if self._clock.monotonic() >= count_at:
                    on_counts(await self._claims.counts())
                    count_at = self._clock.monotonic() + every_s
            except (RPCError, SomaError) as error:
                _log.warning("workflows of dead letters cannot be told now: %s", error)
                await self._clock.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)
                continue
            pause = _FIRST_PAUSE_S
            with suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await self._wake.wait()

    async def _signal_changed(self) -> bool:
        """Whether there may be more to tell now."""
        changed = await self._claims.changed(_BATCH)
        await self._signal_each(changed, self._claims.mark_signalled)
        overdue = await self._claims.overdue(_BATCH)
        await self._signal_each(overdue, _keep_claim)
        return _BATCH in {len(changed), len(overdue)}

    async def _signal_each(
        self, dead_letters: Sequence[DeadLetterChange], then: Callable[[DeadLetterChange], Coroutine[None, None, None]]
    ) -> None:
        """One that cannot be told keeps its claim, so that it is not the first again; the others are handed back."""
        left = deque(dead_letters)
        try:
            while left:
                dead_letter = left.popleft()
                try:
                    await self._signal(dead_letter)
                except asyncio.CancelledError:
                    left.append(dead_letter)
                    raise
                await then(dead_letter)
        finally:
            if left:
                await self._claims.release(left)

    async def _signal(self, dead_letter: DeadLetterChange) -> None:
        await self._client.start_workflow(
            WORKFLOW,
            DeadLetterRef(dead_letter.tenant_id, dead_letter.dlq_id),
            id=f"dead-letter-{dead_letter.dlq_id}",
            task_queue=self._queue,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=NEWS_SIGNAL,
            memo={"correlation_id": dead_letter.correlation_id, "group": dead_letter.group, "topic": dead_letter.topic},
            rpc_timeout=_RPC_TIMEOUT,
        )


async def _keep_claim(_: DeadLetterChange) -> None:
    """The claim on a dead letter that is overdue lasts, so that others have their turn."""
