"""Reads dead letters, sends them again and discards them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError, not_found
from svc_provenance.domain.dead_letters import INACTIVE, discarded, next_state, requeued, wake_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mesh.clock import Clock
    from mesh.ids import Ids
    from svc_provenance.app.ports import DeadLetterStore
    from svc_provenance.domain.dead_letters import Cause, DeadLetterRecord, State
    from svc_provenance.domain.pages import PageCursor

MAX_WAIT_S = 600.0
"""How long a dead letter's workflow waits for a signal before it reads the dead letter again."""
MAX_REMAINING = 10_000
"""Dead letters that match filters are counted up to this number."""


@dataclass(frozen=True)
class DeadLetterFilters:
    """Filters of a list; None and "" match every dead letter."""

    state: State | None = None
    cause: Cause | None = None
    topic: str = ""
    group: str = ""
    event_type: str = ""
    correlation_id: str = ""


@dataclass(frozen=True)
class RequeueResult:
    """Numbers of dead letters sent again, left as they are, and that match but were not reached."""

    requeued: int
    left: int
    remaining: int


@dataclass(frozen=True)
class RequeueStep:
    """What a dead letter's workflow does next: end, or wait for `wait_s` or for a signal.

    Names of fields are in the payload. `at_rest`: the state is one of `INACTIVE`.
    """

    state: str
    at_rest: bool
    wait_s: float = MAX_WAIT_S


class DeadLetters:
    """The use cases. `tenants` are those whose dead letters the caller may read, its own first."""

    def __init__(self, dead_letters: DeadLetterStore, clock: Clock, ids: Ids) -> None:
        self._dead_letters = dead_letters
        self._clock = clock
        self._ids = ids

    async def get(self, tenants: Sequence[str], dlq_id: str) -> DeadLetterRecord:
        """Returns one dead letter with its event; NOT_FOUND for an unknown one."""
        for tenant_id in tenants:
            dead_letter = await self._dead_letters.get(tenant_id, dlq_id)
            if dead_letter is not None:
                return dead_letter
        raise not_found("dead letter", dlq_id)

    async def page(
        self, tenant_id: str, filters: DeadLetterFilters, after: PageCursor | None, size: int
    ) -> tuple[Sequence[DeadLetterRecord], PageCursor | None]:
        """Returns a page, and the cursor of the next one; None at the end."""
        return await self._dead_letters.page(tenant_id, filters, after, size)

    async def requeue(self, tenants: Sequence[str], dlq_id: str) -> DeadLetterRecord:
        """Sends a dead letter's event again."""
        return await self._requeue(tenants, dlq_id, self._ids.new())

    async def discard(self, tenants: Sequence[str], dlq_id: str, reason: str) -> DeadLetterRecord:
        """Discards a dead letter."""
        return await self._change(
            tenants, dlq_id, lambda dead_letter: discarded(dead_letter, reason, self._clock.now())
        )

    async def requeue_many(
        self, tenants: Sequence[str], dlq_ids: Sequence[str], filters: DeadLetterFilters, limit: int
    ) -> RequeueResult:
        """Sends the events of many dead letters again: those named, else those of the first tenant that match."""
        remaining = 0
        if not dlq_ids:
            dlq_ids, remaining = await self._dead_letters.requeueable(tenants[0], filters, limit)
        sent = left = 0
        for dlq_id in dlq_ids:
            sent_id = self._ids.new()
            try:
                dead_letter = await self._requeue(tenants, dlq_id, sent_id)
            except SomaError as error:
                if error.reason not in {Reason.FAILED_PRECONDITION, Reason.NOT_FOUND}:
                    raise
                left += 1
            else:
                # One that was being sent already keeps the id of that sending.
                sent += dead_letter.sent_id == sent_id
                left += dead_letter.sent_id != sent_id
        return RequeueResult(sent, left, min(MAX_REMAINING, max(0, remaining - sent)))

    async def _requeue(self, tenants: Sequence[str], dlq_id: str, sent_id: str) -> DeadLetterRecord:
        return await self._change(
            tenants, dlq_id, lambda dead_letter: requeued(dead_letter, self._clock.now(), sent_id)
        )

    async def _change(
        self, tenants: Sequence[str], dlq_id: str, decide: Callable[[DeadLetterRecord], DeadLetterRecord]
    ) -> DeadLetterRecord:
        for tenant_id in tenants:
            dead_letter = await self._dead_letters.change(tenant_id, dlq_id, decide, audited=True)
            if dead_letter is not None:
                return dead_letter
        raise not_found("dead letter", dlq_id)


class ProcessDueDeadLetter:
    """Does what a dead letter does by itself when it is due."""

    def __init__(self, dead_letters: DeadLetterStore, clock: Clock, ids: Ids) -> None:
        self._dead_letters = dead_letters
        self._clock = clock
        self._ids = ids

    async def __call__(self, tenant_id: str, dlq_id: str) -> RequeueStep:
        """Does what is due, and returns what comes next; the workflow of a dead letter that was deleted ends."""
        now = self._clock.now()
        decide = partial(next_state, now=now, sent_id=self._ids.new())
        dead_letter = await self._dead_letters.change(tenant_id, dlq_id, decide, audited=False)
        if dead_letter is None:
            return RequeueStep("", at_rest=True)
        wake = wake_at(dead_letter)
        wait = MAX_WAIT_S if wake is None else min(max((wake - now).total_seconds(), 0.0), MAX_WAIT_S)
        return RequeueStep(dead_letter.state.value, dead_letter.state in INACTIVE, wait)
