"""The alarm for credentials with a true signature whose key does not exist: somebody else can sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh import tracing
from mesh.events.audit import DENIED, AuditActor, AuditEntry
from mesh.events.audit_queue import AuditQueue
from mesh.logging import get_logger
from mesh.lru import LruMap
from mesh.telemetry import counter

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh.clock import Clock
    from mesh.context import Caller
    from mesh.events.audit import Auditor
    from mesh.stores.postgres import Postgres

LIMIT = 1_000
"""Entries that may wait, and keys that are told of once; the counter counts every refusal."""
_ID_CHARS = 64


class UnknownKeyAuditor:
    """Counts each use of a key that does not exist, and tells of each such key once: in the log and in the audit."""

    def __init__(self, auditor: Auditor, postgres: Postgres, clock: Clock, policy_id: Callable[[], str]) -> None:
        self._queue = AuditQueue(auditor, postgres, clock, policy_id, LIMIT)
        self._reported: LruMap[tuple[str, str], bool] = LruMap(LIMIT)
        self._refused = counter(
            "identity_unknown_keys_total", "Calls refused because their key does not exist, although signed by ours."
        )

    def record(self, caller: Caller) -> None:
        """Take a refusal; never waits."""
        self._refused.labels().inc()
        tenant_id, key_id = caller.tenant_id[:_ID_CHARS], caller.key_id[:_ID_CHARS]
        if self._reported.get((tenant_id, key_id)) or self._queue.is_full:
            return
        self._reported.get_or_create((tenant_id, key_id), lambda: True)
        get_logger(__name__).warning(
            "a credential is signed by our key, and its key id does not exist",
            key_id=key_id,
            tenant_id=tenant_id,
            actor=caller.actor,
        )
        self._queue.add(
            AuditEntry(
                action="api_key.use",
                resource_type="api_key",
                resource_id=key_id,
                tenant_id="",  # the platform's: there may be no tenant of this name
                reason=f"tenant {tenant_id} has no such key",
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
