"""Tells the workflows of dead letters what changed, starting those that do not run."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError

from mesh.errors import SomaError
from svc_provenance.domain.dead_letters import NEWS_SIGNAL, WORKFLOW, LetterOrder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from temporalio.client import Client

    from mesh.clock import Clock
    from svc_provenance.adapters.dead_letters import PostgresLetters
    from svc_provenance.domain.dead_letters import Letter

QUEUE = "dead-letters"
_RPC_TIMEOUT = timedelta(seconds=5)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0
_BATCH = 100
_log = logging.getLogger(__name__)


class LetterFollower:
    """Tells each letter's workflow of its news. A letter has one workflow at a time, named after it.

    News are kept with the letters, so nothing is forgotten while Temporal is away.
    """

    def __init__(self, letters: PostgresLetters, client: Client, clock: Clock, queue: str = QUEUE) -> None:
        self._letters = letters
        self._client = client
        self._clock = clock
        self._queue = queue
        self._wake = asyncio.Event()

    def heard(self, _: str) -> None:
        """Some letter changed."""
        self._wake.set()

    async def work(self, every_s: float, on_counts: Callable[[Mapping[str, int]], None]) -> None:
        """Tell of news at once; look for forgotten ones, and count, now and then. Never ends by itself."""
        pause, count_at = _FIRST_PAUSE_S, self._clock.monotonic()
        while True:
            self._wake.clear()
            try:
                while await self._tell():
                    pass
                if self._clock.monotonic() >= count_at:
                    on_counts(await self._letters.counts())
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

    async def _tell(self) -> int:
        found = await self._letters.unfollowed(_BATCH)
        for letter, news, _ in found:
            await self._signalled(letter)
            await self._letters.followed(letter, news)
        # Overdue ones come again until their workflow has moved them: they do not count as more to do.
        return sum(untold for *_, untold in found) if len(found) == _BATCH else 0

    async def _signalled(self, letter: Letter) -> None:
        await self._client.start_workflow(
            WORKFLOW,
            LetterOrder(letter.tenant_id, letter.dlq_id),
            id=f"dead-letter-{letter.dlq_id}",
            task_queue=self._queue,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=NEWS_SIGNAL,
            memo={"correlation_id": letter.correlation_id, "group": letter.group, "topic": letter.topic},
            rpc_timeout=_RPC_TIMEOUT,
        )
