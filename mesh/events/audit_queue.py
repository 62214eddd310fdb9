"""Audit entries of what changes no row, written in batches off the path of the calls."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from mesh import context, tracing
from mesh.errors import Reason, SomaError
from mesh.events.audit import AuditActor, AuditEntry
from mesh.stores.postgres import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh.clock import Clock
    from mesh.events.audit import Auditor
    from mesh.stores.postgres import Postgres

LIMIT = 10_000
BATCH = 200
_log = logging.getLogger(__name__)


class AuditQueue:
    """A bounded queue of entries before the outbox; an entry keeps the caller, trace and policy of its call.

    A crash loses what waits, normally some milliseconds' worth.
    """

    def __init__(
        self, auditor: Auditor, postgres: Postgres, clock: Clock, policy_id: Callable[[], str], limit: int = LIMIT
    ) -> None:
        self._auditor = auditor
        self._postgres = postgres
        self._clock = clock
        self._policy_id = policy_id
        self._limit = limit
        self._waiting: deque[AuditEntry] = deque()
        self._arrived = asyncio.Event()

    @property
    def is_full(self) -> bool:
        """Whether no entry is taken at the moment."""
        return len(self._waiting) >= self._limit

    def add(self, entry: AuditEntry) -> None:
        """Take an entry about the call being served; never waits. OVERLOADED when too many wait."""
        if self.is_full:
            raise SomaError(Reason.OVERLOADED, "The audit queue is full; retry later", retry_after_s=1.0)
        request = context.current()
        caller = request.caller if request is not None else None
        if entry.by is None and caller is not None:
            traceparent = tracing.current() or (request.traceparent if request is not None else "")
            entry = replace(entry, by=AuditActor(caller.subject, caller.actor, traceparent))
        self._waiting.append(
            replace(
                entry,
                tenant_id=caller.tenant_id if entry.tenant_id is None and caller is not None else entry.tenant_id,
                policy_id=self._policy_id() if entry.policy_id is None else entry.policy_id,
                at=entry.at or self._clock.now(),
                trace_id=entry.trace_id or (request.trace_id if request is not None else ""),
                event_id=entry.event_id or self._auditor.new_event_id(),
            )
        )
        self._arrived.set()

    async def write(self) -> None:
        """Write what comes, for ever; what could not be written still waits when this is called again."""
        while True:
            await self.flush()
            await self._arrived.wait()
            self._arrived.clear()

    async def close(self) -> None:
        """Write what is left, if the database takes it."""
        try:
            await self.flush()
        except SomaError as error:
            _log.warning("%d audit entries are not written: %s", len(self._waiting), error.reason.value)

    async def flush(self) -> None:
        """Write what waits; what was committed although the answer was lost is there once all the same."""
        while self._waiting:
            batch = list(islice(self._waiting, BATCH))
            async with self._postgres.transaction(SYSTEM) as connection:
                await self._auditor.record_all(connection, batch)
            for _ in batch:
                self._waiting.popleft()
