"""An auditor for tests, and what the outbox holds of its entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from mesh.clock import SystemClock
from mesh.events.audit import Auditor
from mesh.events.outbox import Outbox
from mesh.events.topics import AUDIT
from mesh.ids import SystemIds
from mesh.stores.postgres import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Callable

    from mesh.events.audit import MakeMessage
    from mesh.stores.postgres import Postgres

T = TypeVar("T")
POLICY = "policy-of-tests"


def auditor(context_name: str, message_class: MakeMessage, kind: type[Auditor] = Auditor) -> Auditor:
    """The real auditor, or one of another kind, over the real outbox."""
    return kind(context_name, Outbox(), message_class, clock=SystemClock(), ids=SystemIds(), policy_id=lambda: POLICY)


async def entries(postgres: Postgres, parse: Callable[[bytes], T]) -> list[tuple[str, T]]:
    """Audit entries in a context's outbox as (tenant, message), in the order they were written."""
    async with postgres.transaction(SYSTEM) as connection:
        rows = await connection.fetch("SELECT tenant_id, payload FROM outbox WHERE topic = $1 ORDER BY id", AUDIT)
    return [(row["tenant_id"], parse(row["payload"])) for row in rows]
