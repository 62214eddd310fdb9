"""Audit entries of callers who were refused, written off the path of the calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh import tracing
from mesh.events.audit import DENIED, AuditActor, AuditEntry
from mesh.events.audit_queue import AuditQueue
from mesh.telemetry import counter

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh.clock import Clock
    from mesh.context import Caller
    from mesh.events.audit import Auditor
    from mesh.stores.postgres import Postgres

LIMIT = 1_000
"""Refusals that may wait. Under a flood the surplus is dropped and counted: refusing must stay cheap."""


class RefusalAuditor:
    """A bounded queue of refusals before the outbox."""

    def __init__(self, auditor: Auditor, postgres: Postgres, clock: Clock, policy_id: Callable[[], str]) -> None:
        self._queue = AuditQueue(auditor, postgres, clock, policy_id, LIMIT)
        self._dropped = counter("audit_refusals_shed_total", "Refusals that were not audited, because too many waited.")

    def record(self, action: str, method: str, caller: Caller, reason: str) -> None:
        """Take a refusal of a call; never waits."""
        if self._queue.is_full:
            self._dropped.labels().inc()
            return
        self._queue.add(
            AuditEntry(
                action=action,
                resource_type="rpc",
                resource_id=method,
                tenant_id=caller.tenant_id,
                reason=reason,
                decision=DENIED,
                by=AuditActor(caller.subject, caller.actor, tracing.current()),
            )
        )

    async def write(self) -> None:
        """Write what comes, for ever; what could not be written still waits when this is called again."""
        await self._queue.write()

    async def close(self) -> None:
        """Write what is left, if the database takes it."""
        await self._queue.close()
