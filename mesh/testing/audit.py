"""An auditor for tests, and what the outbox holds of its entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.clock import SystemClock
from mesh.events.audit import Auditor
from mesh.events.outbox import Outbox
from mesh.events.topics import AUDIT
from mesh.ids import SystemIds
from mesh.stores.postgres import SYSTEM
from soma.events.v1.audit_pb2 import AuditRecorded

if TYPE_CHECKING:
    from mesh.stores.postgres import Postgres

POLICY = "policy-of-tests"


def auditor(context_name: str, kind: type[Auditor] = Auditor) -> Auditor:
    """The real auditor, or one of another kind, over the real outbox."""
    return kind(context_name, Outbox(), clock=SystemClock(), ids=SystemIds(), policy_id=lambda: POLICY)


async def entries(postgres: Postgres) -> list[tuple[str, AuditRecorded]]:
    """Audit entries in a context's outbox as (tenant, message), in the order they were written."""
    async with postgres.transaction(SYSTEM) as connection:
        rows = await connection.fetch("SELECT tenant_id, payload FROM outbox WHERE topic = $1 ORDER BY id", AUDIT)
    return [(row["tenant_id"], AuditRecorded.FromString(row["payload"])) for row in rows]
