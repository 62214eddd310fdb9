"""A chain on a real Postgres with its anchors on disk, and a superuser's access to both."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import asyncpg

from mesh.clock import SystemClock
from mesh.events.event import Event
from mesh.ids import SystemIds
from mesh.secrets import KeyKind, MemoryTransit
from mesh.settings import BlobSettings
from mesh.stores import blobs
from mesh.stores.postgres import SYSTEM, Postgres
from soma.events.v1.audit_pb2 import AuditRecorded
from svc_provenance.adapters.audit_anchors import BlobAnchorStore, TransitStatementSigner
from svc_provenance.adapters.postgres.audit import PostgresAuditStore, append_entries
from svc_provenance.app.anchoring import Anchorer, AnchorSchedule
from svc_provenance.app.audit import Audit
from svc_provenance.context import AUDIT_KEY
from svc_provenance.events.consumed.audit import AuditEventHandlers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from mesh.secrets import Transit
    from mesh.settings import PostgresSettings
    from soma_local.testing.engines import Databases

TENANT = "acme"
NOW = datetime(2026, 11, 20, 10, 0, 0, 123456, tzinfo=UTC)
IDS = SystemIds()
TABLES = ("audit_events", "audit_heads", "audit_anchored", "audit_starts")


def event(number: int, tenant: str = TENANT, **fields: str) -> Event:
    """An audit entry as a context tells it; no two numbers have a field in common."""
    plain = {
        "action": f"budget.write{number}",
        "context": f"selector{number}",
        "subject": f"alice{number}",
        "actor": f"svc{number}",
        "resource_type": f"budget{number}",
        "resource_id": f"b-{number}",
        "policy_id": f"p{number}",
        "before_digest": f"{number:064x}",
        "after_digest": f"{number + 1:064x}",
        "trace_id": f"{number:032x}",
        "reason": f"because of {number}",
        "decision": "AUDIT_DECISION_ALLOWED",
    }
    record = AuditRecorded(**(plain | fields))  # type: ignore[arg-type]
    return Event(
        IDS.new(), AuditRecorded.DESCRIPTOR.full_name, "audit.events", tenant or "platform", tenant, NOW,
        record.SerializeToString(),
    )  # fmt: skip


class AuditUnderTest:
    """Chains in a database, `owner` with every power over it, anchors in `folder`."""

    def __init__(
        self, postgres: Postgres, owner: asyncpg.Connection, kept: blobs.Blobs, transit: Transit, folder: Path
    ) -> None:
        self.postgres = postgres
        self.owner = owner
        self.folder = folder
        self.clock = SystemClock()
        self.store = PostgresAuditStore(postgres)
        self.anchors = BlobAnchorStore(kept)
        self.signer = TransitStatementSigner(transit, self.clock)
        self.audit = Audit(self.store, self.anchors, self.signer)
        self.anchorer = Anchorer(self.store, self.anchors, self.signer, AnchorSchedule(1, 1, 1), self.clock)
        self.redacted: dict[str, int] = {}

    async def tell(self, *events: Event) -> None:
        """Takes entries of one tenant in, as one transaction of the inbox."""
        intake = AuditEventHandlers(append_entries, on_redacted=self.redacted.update)
        async with self.postgres.transaction(events[0].tenant_id or SYSTEM) as connection:
            await intake.recorded(connection, events)

    async def race(self, appenders: int, each: int, first: int = 0) -> None:
        """Several append to one chain at once, one to three entries a transaction."""

        async def appending(lane: int) -> None:
            numbers = list(range(first + lane * each, first + (lane + 1) * each))
            while numbers:
                count = 1 + (lane + len(numbers)) % 3
                await self.tell(*(event(number) for number in numbers[:count]))
                del numbers[:count]

        await asyncio.gather(*(appending(lane) for lane in range(appenders)))

    async def anchor(self, chain: str = TENANT) -> int:
        """Anchors the chain where it ends now; gives the place."""
        state = await self.store.chain_state(chain)
        assert state.head is not None
        await self.anchorer.anchor_chain(chain, state.head)
        return state.head.sequence

    async def kinds(self, audit: Audit | None = None) -> set[str]:
        """Kinds of the faults that a pass finds, in as many calls as it takes."""
        audit = audit or self.audit
        report = await audit.verify(TENANT)
        found = {str(fault.kind) for fault in report.faults}
        while report.next_sequence:
            report = await audit.verify(TENANT, report.next_sequence, report.last_digest)
            found |= {str(fault.kind) for fault in report.faults}
        return found

    def in_parts(self, max_entries: int, max_anchors: int) -> Audit:
        """An audit whose calls verify few entries."""
        return Audit(self.store, self.anchors, self.signer, max_entries=max_entries, max_anchors=max_anchors)

    async def anchored_places(self) -> Sequence[int]:
        """All places of the chain that have an anchor."""
        return await self.anchors.sequences(TENANT, 0, 1_000)

    async def back_up(self) -> None:
        """Remembers the tables and the anchors as they are."""
        for table in TABLES:
            await self.owner.execute(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}")
        self._files = {file: file.read_bytes() for file in self.folder.rglob("*.json")}

    async def restore(self) -> None:
        """Puts back what was remembered."""
        async with self.owner.transaction():
            for table in TABLES:
                await self.owner.execute(f"""
                    DELETE FROM {table} AS t WHERE t::text NOT IN (SELECT k::text FROM kept_{table} AS k);
                    INSERT INTO {table} SELECT * FROM kept_{table} EXCEPT SELECT * FROM {table};
                """)
        for file in self.folder.rglob("*.json"):
            if file not in self._files:
                file.unlink()
        for file, content in self._files.items():
            file.write_bytes(content)


@asynccontextmanager
async def under_test(databases: Databases, settings: PostgresSettings, folder: Path) -> AsyncIterator[AuditUnderTest]:
    """Opens an audit chain to test; the superuser's session fires no trigger."""
    transit = MemoryTransit()
    await transit.create_key(AUDIT_KEY, KeyKind.SIGNING)
    owner = await asyncpg.connect(databases.owner_dsn(settings))
    try:
        await owner.execute("SET search_path TO provenance, public; SET session_replication_role = replica")
        async with Postgres.open(settings) as postgres, blobs.open(BlobSettings(url=folder.as_uri())) as kept:
            yield AuditUnderTest(postgres, owner, kept, transit, folder)
    finally:
        await owner.close()
