"""Audit entries of reads, counted up and written off the path of the calls."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - a field
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from mesh import tracing
from mesh.context import caller, current
from mesh.errors import SomaError
from mesh.events.audit import AuditActor, AuditEntry
from mesh.logging import get_logger
from mesh.stores.postgres import SYSTEM
from mesh.telemetry import counter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mesh.clock import Clock
    from mesh.events.audit import Auditor
    from mesh.stores.postgres import Postgres

LIMIT = 20_000
"""Readers and things that may wait to be written; of more, reads are dropped and counted."""
BATCH = 500
_Key: TypeAlias = tuple[str, str, str, str, str]
_log = get_logger(__name__)


@dataclass
class _Reads:
    """Reads of one thing by one caller since the last batch; trace and policy are those of the first."""

    by: AuditActor
    policy_id: str
    first: datetime
    last: datetime
    count: int = 0


class ReadAudit:
    """Counts reads by caller and thing, and writes one entry for each every `every_s` seconds.

    An entry says how many reads there were, from when to when. A batch that could not be written is written again as it
    is, under the same ids, since it may have been committed; later reads of the same things are entries of their own.
    """

    def __init__(
        self, auditor: Auditor, postgres: Postgres, clock: Clock, policy_id: Callable[[], str], *, every_s: float
    ) -> None:
        self._auditor = auditor
        self._postgres = postgres
        self._clock = clock
        self._policy_id = policy_id
        self._every_s = every_s
        self._waiting: dict[_Key, _Reads] = {}
        self._unconfirmed: deque[Sequence[AuditEntry]] = deque()
        self._lost = 0
        self._dropped = counter("audit_reads_dropped_total", "Reads that were not audited, because too many waited.")

    def note(self, resource_type: str, resource_id: str) -> None:
        """Takes a read by the caller being served; never waits."""
        who, now = caller(), self._clock.now()
        key = (who.tenant_id, who.subject, who.actor, resource_type, resource_id)
        reads = self._waiting.get(key)
        if reads is None:
            if len(self._waiting) >= LIMIT:
                self._lost += 1
                self._dropped.labels().inc()
                return
            by = AuditActor(who.subject, who.actor, _traceparent())
            reads = self._waiting[key] = _Reads(by, self._policy_id(), now, now)
        reads.count += 1
        reads.last = now

    async def is_behind(self) -> str:
        """Why not every read is audited, "" when all are: reads were dropped since the last batch."""
        return f"{self._lost} reads were not audited" if self._lost else ""

    async def run(self) -> None:
        """Writes a batch now and then, for ever."""
        while True:
            await self._clock.sleep(self._every_s)
            await self.flush()

    async def close(self) -> None:
        """Writes what is left."""
        try:
            await self.flush()
        except SomaError as error:
            waiting = len(self._waiting) + sum(map(len, self._unconfirmed))
            _log.error("reads are not audited", callers_and_things=waiting, reason=error.reason.value)

    async def flush(self) -> None:
        """Writes what waits."""
        while self._unconfirmed or self._waiting:
            batch = self._unconfirmed.popleft() if self._unconfirmed else self._next_batch()
            try:
                async with self._postgres.transaction(SYSTEM) as connection:
                    await self._auditor.record_all(connection, batch)
            except BaseException:
                self._unconfirmed.appendleft(batch)
                raise
        self._lost = 0

    def _next_batch(self) -> Sequence[AuditEntry]:
        keys = list(islice(self._waiting, BATCH))
        return [_entry(key, self._waiting.pop(key), self._auditor.new_event_id()) for key in keys]


def _traceparent() -> str:
    """The trace of the request; a request that is not traced has an id of it nevertheless."""
    request = current()
    untraced = f"00-{request.trace_id}-{'0' * 16}-00" if request and request.trace_id else ""
    return tracing.current() or (request.traceparent if request else "") or untraced


def _entry(key: _Key, reads: _Reads, event_id: str) -> AuditEntry:
    tenant_id, _, _, resource_type, resource_id = key
    return AuditEntry(
        action="asset.read",
        resource_type=resource_type,
        resource_id=resource_id,
        tenant_id=tenant_id,
        reason=f"read {reads.count} times from {reads.first.isoformat()} to {reads.last.isoformat()}",
        by=reads.by,
        policy_id=reads.policy_id,
        at=reads.first,
        event_id=event_id,
    )
