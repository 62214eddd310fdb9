"""Audit chains and their anchors in memory, which count what is read of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mesh.clock import SystemClock
from mesh.secrets import KeyKind, MemoryTransit
from svc_provenance.adapters.audit_anchors import TransitStatementSigner
from svc_provenance.app.audit import ChainState
from svc_provenance.context import AUDIT_KEY
from svc_provenance.domain.audit import (
    AUDIT_ACTION_FIELDS,
    EMPTY_CHAIN,
    AuditAction,
    ChainedEntry,
    ChainPosition,
    Entry,
    Statement,
    link_entry,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from svc_provenance.app.audit import Audit, AuditFilters
    from svc_provenance.app.audit_verification import VerificationReport
    from svc_provenance.domain.audit import SignedStatement

CHAIN = "acme"
NOW = datetime(2026, 11, 20, 10, 0, 0, 5, tzinfo=UTC)


def chained(size: int, after: ChainPosition = EMPTY_CHAIN, subject: str = "alice") -> list[ChainedEntry]:
    """So many entries behind a place."""
    action = replace(AuditAction(**dict.fromkeys(AUDIT_ACTION_FIELDS, "x")), subject=subject)
    end, made = after, []
    for number in range(after.sequence + 1, after.sequence + size + 1):
        chained_entry = link_entry(end, Entry(CHAIN, number, f"id-{number}", NOW, NOW, action))
        made.append(chained_entry)
        end = chained_entry.position
    return made


class MemoryChain:
    """An `AuditStore` of one chain that anyone may change. `made` is the place of the newest anchor."""

    def __init__(self, rows: Iterable[ChainedEntry], made: int) -> None:
        self.rows = list(rows)
        self.head: ChainPosition | None = self.rows[-1].position if self.rows else None
        self.start: SignedStatement | None = None
        self.made = made

    def at(self, place: int) -> ChainedEntry:
        return next(row for row in self.rows if row.entry.sequence == place)

    def put(self, *rows: ChainedEntry) -> None:
        """Puts rows where their places and times say, beside what is there."""
        self.rows = sorted([*self.rows, *rows], key=_order)

    def take(self, *places: int) -> None:
        self.rows = [row for row in self.rows if row.entry.sequence not in places]

    def cut(self, place: int) -> None:
        """Cuts off the end from a place on; the head stays."""
        self.rows = [row for row in self.rows if row.entry.sequence < place]

    async def page(
        self, chain: str, filters: AuditFilters, before: int, limit: int
    ) -> tuple[Sequence[ChainedEntry], int]:
        raise AssertionError("no list is asked for")

    async def get(self, chain: str, audit_id: str) -> ChainedEntry | None:
        raise AssertionError("no entry is asked for")

    async def entries_between(
        self, chain: str, after: ChainedEntry | None, first: int, last: int, limit: int
    ) -> Sequence[ChainedEntry]:
        behind = self.rows if after is None else [row for row in self.rows if _order(row) > _order(after)]
        return [row for row in behind if (not first or row.entry.sequence >= first) and row.entry.sequence <= last][
            :limit
        ]

    async def chain_state(self, chain: str) -> ChainState:
        return ChainState(self.head, max((row.entry.sequence for row in self.rows), default=0), self.start)

    async def newest_anchored(self, chain: str) -> int:
        return self.made


class MemoryAnchorStore:
    """`AnchorStore` in a dict. `reads` and `listed` count places; `most` is how many were read at once."""

    def __init__(self, anchors: Iterable[SignedStatement]) -> None:
        self.kept: dict[int, SignedStatement | None] = {anchor.position.sequence: anchor for anchor in anchors}
        self.clear()

    def clear(self) -> None:
        """Counts anew."""
        self.reads, self.listed, self.listings, self.most, self._reading = 0, 0, 0, 0, 0

    async def sequences(self, chain: str, first: int, limit: int) -> Sequence[int]:
        found = sorted(place for place in self.kept if place >= first)[:limit]
        self.listed += len(found)
        self.listings += 1
        return found

    async def read(self, chain: str, sequence: int) -> SignedStatement | None:
        self.reads += 1
        self._reading += 1
        self.most = max(self.most, self._reading)
        await asyncio.sleep(0)
        self._reading -= 1
        return self.kept.get(sequence)

    async def put(self, anchor: SignedStatement) -> bool:
        raise AssertionError("no anchor is made")


async def signing() -> TransitStatementSigner:
    """StatementSigner by a key of their own."""
    transit = MemoryTransit()
    await transit.create_key(AUDIT_KEY, KeyKind.SIGNING)
    return TransitStatementSigner(transit, SystemClock())


async def anchors_of(
    signer: TransitStatementSigner, rows: Sequence[ChainedEntry], every: int
) -> Sequence[SignedStatement]:
    """Genuine anchors of each `every`th entry."""
    return [await signer.sign(Statement.ANCHOR, CHAIN, row.position) for row in rows[every - 1 :: every]]


async def verified(audit: Audit, from_sequence: int = 0, previous_digest: bytes = b"") -> list[VerificationReport]:
    """The reports of all parts, from a place to the end."""
    reports = [await audit.verify(CHAIN, from_sequence, previous_digest)]
    while reports[-1].next_sequence:
        assert len(reports) < 1_000
        reports.append(await audit.verify(CHAIN, reports[-1].next_sequence, reports[-1].last_digest))
    return reports


def faults(reports: Iterable[VerificationReport]) -> set[tuple[int, str]]:
    """Place and kind of all faults."""
    return {(fault.sequence, str(fault.kind)) for report in reports for fault in report.faults}


def later(row: ChainedEntry) -> ChainedEntry:
    """A second entry of the same place, recorded behind the first."""
    return replace(row, entry=replace(row.entry, recorded_at=row.entry.recorded_at + timedelta(seconds=1)))


def _order(row: ChainedEntry) -> tuple[int, datetime]:
    return row.entry.sequence, row.entry.recorded_at
