"""Past decisions in Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.errors import Reason, SomaError
from mesh.events.audit import DENIED, AuditActor, AuditEntry
from mesh.stores.postgres import SYSTEM
from svc_selector.domain.decision import StoredSelection
from svc_selector.domain.model import FilterStage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import asyncpg

    from mesh.events.audit import Auditor
    from mesh.events.event import Event
    from mesh.events.outbox import Outbox
    from mesh.stores.postgres import Postgres
    from svc_selector.domain.decision import Decision


class PostgresDecisionStore:
    """Stores decisions as serialised Selections, in one transaction with their events and audit entries."""

    def __init__(
        self,
        postgres: Postgres,
        outbox: Outbox,
        auditor: Auditor,
        *,
        to_bytes: Callable[[Decision], bytes],
        to_events: Callable[[Sequence[Decision]], Sequence[Event]],
    ) -> None:
        self._postgres = postgres
        self._outbox = outbox
        self._auditor = auditor
        self._to_bytes = to_bytes
        self._to_events = to_events

    async def record(self, decisions: Sequence[Decision]) -> None:
        """Writes decisions and their events."""
        async with self._postgres.transaction(SYSTEM) as connection:
            await self.write(connection, decisions)

    async def record_one(self, decision: Decision) -> None:
        """Writes one decision and its events."""
        async with self._postgres.transaction(decision.subject.tenant_id) as connection:
            await self.write(connection, [decision])

    async def write(self, connection: asyncpg.Connection, decisions: Sequence[Decision]) -> None:
        """Writes decisions within an open transaction; skips those whose id or request id is stored already."""
        rows_to_insert = [_row(decision, self._to_bytes(decision)) for decision in decisions]
        rows = await connection.fetch(_INSERT, *zip(*rows_to_insert, strict=True))
        written = {str(row["selection_id"]) for row in rows}
        new = [decision for decision in decisions if decision.selection_id in written]
        if any(_answers_repeats(decision) for decision in decisions if decision.selection_id not in written):
            raise SomaError(Reason.CONFLICT, "this request_id is being answered by another call; repeat it")
        if new:
            await self._outbox.add(connection, *self._to_events(new))
            await self._auditor.record_all(
                connection, [entry for decision in new for entry in _policy_denials(decision)]
            )

    async def get(self, tenant_id: str, selection_id: str) -> bytes | None:
        """Returns the serialised Selection of one decision."""
        async with self._postgres.transaction(tenant_id) as connection:
            query = "SELECT document FROM selections WHERE selection_id = $1"
            return await connection.fetchval(query, selection_id)  # type: ignore[no-any-return]

    async def get_by_request(self, tenant_id: str, request_id: str) -> StoredSelection | None:
        """Returns the selection of an earlier request with this id."""
        async with self._postgres.transaction(tenant_id) as connection:
            row = await connection.fetchrow(_BY_REQUEST, tenant_id, request_id)
        return StoredSelection(row["document"], (row["request_digest"] or b"").hex()) if row else None

    async def list(self, tenant_id: str, job_id: str, size: int, before: str) -> Sequence[bytes]:
        """Returns serialised Selections, newest first."""
        arguments = (tenant_id, before or _MAX_ID, size)
        async with self._postgres.transaction(tenant_id) as connection:
            rows = await (
                connection.fetch(_LIST_JOB, *arguments, job_id) if job_id else connection.fetch(_LIST, *arguments)
            )
        return [row["document"] for row in rows]


def _row(decision: Decision, serialized: bytes) -> tuple[object, ...]:
    return (
        decision.selection_id,
        decision.subject.tenant_id,
        decision.selection_request.key.request_id if _answers_repeats(decision) else None,
        decision.subject.job_id,
        decision.chosen.capability_id if decision.chosen else "",
        serialized,
        decision.decided_at,
        bytes.fromhex(decision.selection_request.key.digest) if _answers_repeats(decision) else None,
    )


def _answers_repeats(decision: Decision) -> bool:
    """Returns whether a repeat of the request gets this decision; one that chose nothing is made again."""
    return bool(decision.selection_request.key.request_id) and decision.chosen is not None


def _policy_denials(decision: Decision) -> Iterator[AuditEntry]:
    """Yields the audit entry of a decision that chose nothing and where policy denied a candidate."""
    denied = [rejection for rejection in decision.rejected if rejection.stage is FilterStage.POLICY]
    if decision.chosen is None and denied:
        yield AuditEntry(
            action="selection.create",
            resource_type="selection",
            resource_id=decision.selection_id,
            tenant_id=decision.subject.tenant_id,
            reason="; ".join(f"{rejection.capability_id}: {rejection.code}" for rejection in denied),
            decision=DENIED,
            by=AuditActor(decision.subject.subject, decision.actor, decision.traceparent),
            policy_id=decision.policy_id,
        )


_INSERT = """
INSERT INTO selections (
    selection_id, tenant_id, request_id, job_id, capability_id, document, decided_at, request_digest
)
SELECT * FROM unnest(
    $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::timestamptz[], $8::bytea[]
)
ON CONFLICT DO NOTHING
RETURNING selection_id
"""
_BY_REQUEST = "SELECT document, request_digest FROM selections WHERE tenant_id = $1 AND request_id = $2"
_MAX_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"
_LIST = """
SELECT document FROM selections WHERE tenant_id = $1 AND selection_id < $2
ORDER BY selection_id DESC LIMIT $3
"""
_LIST_JOB = """
SELECT document FROM selections WHERE tenant_id = $1 AND selection_id < $2 AND job_id = $4
ORDER BY selection_id DESC LIMIT $3
"""
