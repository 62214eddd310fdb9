"""Past decisions in Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mesh.errors import Reason, SomaError
from mesh.events.audit import DENIED, AuditActor, AuditEntry
from mesh.stores.postgres import SYSTEM
from svc_selector.domain.decision import Recorded
from svc_selector.domain.model import Judgement

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import asyncpg

    from mesh.events.audit import Auditor
    from mesh.events.event import Event
    from mesh.events.outbox import Outbox
    from mesh.stores.postgres import Postgres
    from svc_selector.domain.decision import Decision


class Facts(Protocol):
    """Turns a decision into what is stored and what others are told."""

    def document(self, decision: Decision) -> bytes:
        """The document of a decision."""

    def events(self, decisions: Sequence[Decision]) -> Sequence[Event]:
        """The events of decisions that were written together."""


class PostgresDecisions:
    """Past decisions, written in one transaction with the events that tell of them."""

    def __init__(self, postgres: Postgres, outbox: Outbox, auditor: Auditor, facts: Facts) -> None:
        self._postgres = postgres
        self._outbox = outbox
        self._auditor = auditor
        self._facts = facts

    async def record(self, decisions: Sequence[Decision]) -> None:
        """Writes decisions and their events."""
        async with self._postgres.transaction(SYSTEM) as connection:
            await self.write(connection, decisions)

    async def record_one(self, decision: Decision) -> None:
        """Writes one decision and its events."""
        async with self._postgres.transaction(decision.subject.tenant_id) as connection:
            await self.write(connection, [decision])

    async def write(self, connection: asyncpg.Connection, decisions: Sequence[Decision]) -> None:
        """Writes them within an open transaction; one that is there already, or whose request is, stays as it is."""
        given = [_row(decision, self._facts.document(decision)) for decision in decisions]
        rows = await connection.fetch(_RECORD, *zip(*given, strict=True))
        written = {str(row["selection_id"]) for row in rows}
        new = [decision for decision in decisions if decision.selection_id in written]
        if any(_repeatable(decision) for decision in decisions if decision.selection_id not in written):
            raise SomaError(Reason.CONFLICT, "this request_id is being answered by another call; repeat it")
        if new:
            await self._outbox.add(connection, *self._facts.events(new))
            await self._auditor.record_all(connection, [refusal for each in new for refusal in _refusals(each)])

    async def get(self, tenant_id: str, selection_id: str) -> bytes | None:
        """The document of one decision."""
        async with self._postgres.transaction(tenant_id) as connection:
            query = "SELECT document FROM selections WHERE selection_id = $1"
            return await connection.fetchval(query, selection_id)  # type: ignore[no-any-return]

    async def by_request(self, tenant_id: str, request_id: str) -> Recorded | None:
        """The decision that a request id made."""
        async with self._postgres.transaction(tenant_id) as connection:
            row = await connection.fetchrow(_BY_REQUEST, tenant_id, request_id)
        return Recorded(row["document"], (row["request_digest"] or b"").hex()) if row else None

    async def list(self, tenant_id: str, job_id: str, size: int, before: str) -> Sequence[bytes]:
        """Documents, newest first."""
        where = (tenant_id, before or _NEWEST, size)
        async with self._postgres.transaction(tenant_id) as connection:
            rows = await (connection.fetch(_LIST_JOB, *where, job_id) if job_id else connection.fetch(_LIST, *where))
        return [row["document"] for row in rows]


def _row(decision: Decision, document: bytes) -> tuple[object, ...]:
    return (
        decision.selection_id,
        decision.subject.tenant_id,
        decision.selection_request.key.request_id if _repeatable(decision) else None,
        decision.subject.job_id,
        decision.chosen.capability_id if decision.chosen else "",
        document,
        decision.decided_at,
        bytes.fromhex(decision.selection_request.key.digest) if _repeatable(decision) else None,
    )


def _repeatable(decision: Decision) -> bool:
    """Whether a repeat of the request is answered with this decision: refusals are judged anew."""
    return bool(decision.selection_request.key.request_id) and decision.chosen is not None


def _refusals(decision: Decision) -> Iterator[AuditEntry]:
    """The refusal, where nothing was chosen and policy stood in the way."""
    denied = [item for item in decision.rejected if item.judgement is Judgement.POLICY]
    if decision.chosen is None and denied:
        yield AuditEntry(
            action="selection.create",
            resource_type="selection",
            resource_id=decision.selection_id,
            tenant_id=decision.subject.tenant_id,
            reason="; ".join(f"{item.capability_id}: {item.code}" for item in denied),
            decision=DENIED,
            by=AuditActor(decision.subject.subject, decision.actor, decision.traceparent),
            policy_id=decision.policy_id,
        )


_RECORD = """
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
_NEWEST = "ffffffff-ffff-ffff-ffff-ffffffffffff"
_LIST = """
SELECT document FROM selections WHERE tenant_id = $1 AND selection_id < $2
ORDER BY selection_id DESC LIMIT $3
"""
_LIST_JOB = """
SELECT document FROM selections WHERE tenant_id = $1 AND selection_id < $2 AND job_id = $4
ORDER BY selection_id DESC LIMIT $3
"""
