"""Audit entries of reads: counted in memory, and written in batches by a background task."""

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

MAX_PENDING = 20_000
"""Most entries that may be pending; the reads of further ones are dropped and counted."""
BATCH_SIZE = 500
_Key: TypeAlias = tuple[str, str, str, str, str]
_log = get_logger(__name__)


@dataclass
class _ReadCount:
    """Reads of one resource by one caller since the last batch; trace and policy are those of the first read."""

    reader: AuditActor
    policy_id: str
    first_at: datetime
    last_at: datetime
    count: int = 0


class PostgresReadAudit:
    """Counts reads by caller and resource, and writes one audit entry for each every `every_s` seconds.

    An entry has the number of reads, and the times of the first and the last. A batch that could not be written is
    retried unchanged, with the same event ids, since it may have been committed; later reads are in later entries.
    """

    def __init__(
        self, auditor: Auditor, postgres: Postgres, clock: Clock, policy_id: Callable[[], str], *, every_s: float
    ) -> None:
        self._auditor = auditor
        self._postgres = postgres
        self._clock = clock
        self._policy_id = policy_id
        self._every_s = every_s
        self._pending: dict[_Key, _ReadCount] = {}
        self._unconfirmed: deque[Sequence[AuditEntry]] = deque()
        self._dropped = 0
        self._dropped_total = counter(
            "audit_reads_dropped_total", "Reads that were not audited, because too many waited."
        )

    def record(self, resource_type: str, resource_id: str) -> None:
        """Records a read by the caller of the current request; does no I/O."""
        reader, now = caller(), self._clock.now()
        key = (reader.tenant_id, reader.subject, reader.actor, resource_type, resource_id)
        reads = self._pending.get(key)
        if reads is None:
            if len(self._pending) >= MAX_PENDING:
                self._dropped += 1
                self._dropped_total.labels().inc()
                return
            actor = AuditActor(reader.subject, reader.actor, _traceparent())
            reads = self._pending[key] = _ReadCount(actor, self._policy_id(), now, now)
        reads.count += 1
        reads.last_at = now

    async def check_dropped(self) -> str:
        """Returns "" when no read was dropped since the last batch, else how many were."""
        return f"{self._dropped} reads were not audited" if self._dropped else ""

    async def run(self) -> None:
        """Writes what is pending every `every_s` seconds until cancelled."""
        while True:
            await self._clock.sleep(self._every_s)
            await self.flush()

    async def close(self) -> None:
        """Writes what is pending; logs when that fails."""
        try:
            await self.flush()
        except SomaError as error:
            pending = len(self._pending) + sum(map(len, self._unconfirmed))
            _log.error("reads are not audited", entries=pending, reason=error.reason.value)

    async def flush(self) -> None:
        """Writes what is pending, in batches."""
        while self._unconfirmed or self._pending:
            batch = self._unconfirmed.popleft() if self._unconfirmed else self._next_batch()
            try:
                async with self._postgres.transaction(SYSTEM) as connection:
                    await self._auditor.record_all(connection, batch)
            except BaseException:
                self._unconfirmed.appendleft(batch)
                raise
        self._dropped = 0

    def _next_batch(self) -> Sequence[AuditEntry]:
        keys = list(islice(self._pending, BATCH_SIZE))
        return [_entry(key, self._pending.pop(key), self._auditor.new_event_id()) for key in keys]


def _traceparent() -> str:
    """Returns the trace context of the request; one that is not sampled still has a trace id."""
    request = current()
    untraced = f"00-{request.trace_id}-{'0' * 16}-00" if request and request.trace_id else ""
    return tracing.current() or (request.traceparent if request else "") or untraced


def _entry(key: _Key, reads: _ReadCount, event_id: str) -> AuditEntry:
    tenant_id, _, _, resource_type, resource_id = key
    return AuditEntry(
        action="asset.read",
        resource_type=resource_type,
        resource_id=resource_id,
        tenant_id=tenant_id,
        reason=f"read {reads.count} times from {reads.first_at.isoformat()} to {reads.last_at.isoformat()}",
        by=reads.reader,
        policy_id=reads.policy_id,
        at=reads.first_at,
        event_id=event_id,
    )
