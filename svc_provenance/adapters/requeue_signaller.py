"""Signals the workflows of dead letters that changed, and starts those that do not run."""

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
from svc_provenance.domain.dead_letters import CHANGED_SIGNAL, QUEUE, WORKFLOW, DeadLetterRef

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
    """Signals the workflow of each dead letter that changed. A dead letter has one workflow at a time, named after it.

    Changes are counted in the rows, so that none is lost while Temporal is unavailable. Each dead letter is claimed
    first, so that one replica alone signals its workflow.
    """

    def __init__(self, claims: DeadLetterClaims, client: Client, clock: Clock, queue: str = QUEUE) -> None:
        self._claims = claims
        self._client = client
        self._clock = clock
        self._queue = queue
        self._wake = asyncio.Event()

    def on_notification(self, _: str) -> None:
        """Wakes the loop: a dead letter changed."""
        self._wake.set()

    async def run(self, poll_interval_s: float, on_counts: Callable[[Mapping[str, int]], None]) -> None:
        """Signals after notifications at once; polls for missed ones, and counts, at an interval. Never ends."""
        pause, count_at = _FIRST_PAUSE_S, self._clock.monotonic()
        while True:
            self._wake.clear()
            try:
                while await self._signal_changed():
                    pass
                if self._clock.monotonic() >= count_at:
                    on_counts(await self._claims.counts())
                    count_at = self._clock.monotonic() + poll_interval_s
            except (RPCError, SomaError) as error:
                _log.warning("workflows of dead letters cannot be signalled now: %s", error)
                await self._clock.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)
                continue
            pause = _FIRST_PAUSE_S
            with suppress(TimeoutError):
                async with asyncio.timeout(poll_interval_s):
                    await self._wake.wait()

    async def _signal_changed(self) -> bool:
        """Signals one batch; returns whether there may be more."""
        changed = await self._claims.changed(_BATCH)
        await self._signal_each(changed, self._claims.mark_signalled)
        overdue = await self._claims.overdue(_BATCH)
        await self._signal_each(overdue, _keep_claim)
        return _BATCH in {len(changed), len(overdue)}

    async def _signal_each(
        self,
        dead_letters: Sequence[DeadLetterChange],
        after_signal: Callable[[DeadLetterChange], Coroutine[None, None, None]],
    ) -> None:
        """Signals each. One that fails keeps its claim, so that it is not the first again; the others are released."""
        remaining = deque(dead_letters)
        try:
            while remaining:
                dead_letter = remaining.popleft()
                try:
                    await self._signal(dead_letter)
                except asyncio.CancelledError:
                    remaining.append(dead_letter)
                    raise
                await after_signal(dead_letter)
        finally:
            if remaining:
                await self._claims.release(remaining)

    async def _signal(self, dead_letter: DeadLetterChange) -> None:
        await self._client.start_workflow(
            WORKFLOW,
            DeadLetterRef(dead_letter.tenant_id, dead_letter.dlq_id),
            id=f"dead-letter-{dead_letter.dlq_id}",
            task_queue=self._queue,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=CHANGED_SIGNAL,
            memo={"correlation_id": dead_letter.correlation_id, "group": dead_letter.group, "topic": dead_letter.topic},
            rpc_timeout=_RPC_TIMEOUT,
        )


async def _keep_claim(_: DeadLetterChange) -> None:
    """Leaves the claim on an overdue dead letter, so that others have their turn."""
