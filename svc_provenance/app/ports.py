"""What the record needs from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import date, datetime

    from svc_provenance.app.audit import AuditFilters, ChainState
    from svc_provenance.app.dead_letters import DeadLetterFilters
    from svc_provenance.app.receipts import Due, JobKey, ReceiptFilters
    from svc_provenance.domain.asset_records import AssetCreation, AssetFacts, Provenance
    from svc_provenance.domain.audit import ChainedEntry, ChainPosition, SignedStatement, Statement
    from svc_provenance.domain.dead_letters import DeadLetterRecord
    from svc_provenance.domain.model import (
        EvaluationSummary,
        Fact,
        Transaction,
    )
    from svc_provenance.domain.pages import PageCursor
    from svc_provenance.domain.receipts import Receipt
    from svc_provenance.domain.retention import TenantRetention


class Record(Protocol):
    """Keeps facts and provenance. Writes belong to the unit of the event they come from."""

    async def add_facts(
        self, unit: Transaction, tenant_id: str, facts: Sequence[Fact], *, replaces: bool = True
    ) -> None:
        """Keeps facts. In the place of an earlier one of its id each is kept when its sequence is not lower.

        One without a sequence replaces what is there because it arrived later, unless `replaces` says that it is late.
        """

    async def job_fact(self, unit: Transaction, tenant_id: str, job_id: str) -> Fact | None:
        """The fact of the job itself, held until the unit ends; None before there is one."""

    async def add_asset(self, unit: Transaction, tenant_id: str, facts: AssetFacts) -> None:
        """Keeps what an asset's event says; the first word on an asset holds."""

    async def add_creation(
        self, unit: Transaction, tenant_id: str, asset_ids: Sequence[str], creation: AssetCreation
    ) -> None:
        """Keeps what the attempt that made assets says; of each, the first one holds."""

    async def add_verdict(self, unit: Transaction, tenant_id: str, asset_id: str, verdict: EvaluationSummary) -> None:
        """Keeps a verdict on an asset unless a newer one is there: ids of verdicts (UUIDv7) grow with time."""

    async def erase(self, unit: Transaction, tenant_id: str, asset_id: str, now: datetime) -> None:
        """Takes parameters and prompt out of an erased asset's provenance; the rest stays."""

    async def facts(self, tenant_id: str, job_id: str) -> Sequence[Fact]:
        """All facts of a job."""

    async def provenance(self, tenant_id: str, asset_id: str) -> Provenance | None:
        """One asset's own."""

    async def ancestors(self, tenant_id: str, asset_id: str) -> Sequence[Provenance]:
        """What an asset was made from, parents before grandparents, each once, within the bounds of a lineage."""


class AnchoringStore(Protocol):
    """The part of the chains' store that this work needs."""

    async def due(self, entries: int, before: datetime) -> Mapping[str, ChainPosition]:
        """Heads of chains with so many entries since their last anchor, or with any and an anchor older than that."""

    async def record_anchor(self, chain: str, sequence: int, at: datetime) -> None:
        """Notes that a place has its anchor."""

    async def create_partitions(self, today: date) -> None:
        """Makes room for the months ahead."""

    async def oldest(self, before: datetime) -> date | None:
        """The oldest month, if it ended before a moment."""

    async def ends(self, month: date) -> Mapping[str, ChainPosition]:
        """The last entry of each chain in a month."""

    async def drop(self, month: date, starts: Sequence[SignedStatement]) -> int:
        """Drops the oldest month and keeps where its chains start from then on; gives the number of entries."""


class AuditStore(Protocol):
    """Keeps chains."""

    async def page(
        self, chain: str, filters: AuditFilters, before: int, limit: int
    ) -> tuple[Sequence[ChainedEntry], int]:
        """Entries before a place (0: the end), newest first, and the place that the next page ends before; 0 for none.

        A page may have fewer than `limit`, even none, before the end: it looks at so many entries at most.
        """

    async def one(self, chain: str, audit_id: str) -> ChainedEntry | None:
        """An entry by its id."""

    async def span(
        self, chain: str, after: ChainedEntry | None, first: int, last: int, limit: int
    ) -> Sequence[ChainedEntry]:
        """Entries between two places in their order, those behind `after`."""

    async def state(self, chain: str) -> ChainState:
        """The chain as it is now, seen at one moment."""

    async def anchored(self, chain: str) -> int:
        """Place of the newest anchor that was made; 0 for none."""


class Anchors(Protocol):
    """Keeps anchors, each written once, where the store of chains has no power."""

    async def places(self, chain: str, first: int, limit: int) -> Sequence[int]:
        """The places from `first` on that have an anchor, in their order, `limit` at most."""

    async def read(self, chain: str, sequence: int) -> SignedStatement | None:
        """The anchor of a place; None when what is there is not one."""

    async def put(self, anchor: SignedStatement) -> bool:
        """Keeps an anchor unless its place has one; gives whether it did."""


class Signatures(Protocol):
    """Signs statements about chains, and tells whose signature one is."""

    async def sign(self, kind: Statement, chain: str, end: ChainPosition) -> SignedStatement:
        """A statement of now."""

    async def public_keys(self) -> Mapping[int, bytes]:
        """Raw Ed25519 public keys by version."""

    def genuine(self, kind: Statement, signed: SignedStatement, keys: Mapping[int, bytes]) -> bool:
        """Whether one of the keys signed it."""


class DeadLetterStore(Protocol):
    """Keeps dead letters."""

    async def change(
        self, tenant_id: str, dlq_id: str, decide: Callable[[DeadLetterRecord], DeadLetterRecord], *, audited: bool
    ) -> DeadLetterRecord | None:
        """Puts what `decide` makes of a dead letter in its place, holding it meanwhile; None for an unknown one.

        A new `sent_id` sends the event again with that id, in the same transaction. `audited` says that somebody
        wanted the change.
        """

    async def dead_letter(self, tenant_id: str, dlq_id: str) -> DeadLetterRecord | None:
        """One dead letter with its event."""

    async def page(
        self, tenant_id: str, filters: DeadLetterFilters, after: PageCursor | None, limit: int
    ) -> tuple[Sequence[DeadLetterRecord], PageCursor | None]:
        """Letters of a tenant, newest first, without their events, and where the next page goes on; None at the end.

        A page may have fewer than `limit`, even none, before the end: it looks at so many dead letters at most.
        """

    async def requeueable(self, tenant_id: str, filters: DeadLetterFilters, limit: int) -> tuple[Sequence[str], int]:
        """Ids of dead letters that can be sent again, oldest first, and how many there are in all.

        Beyond the ids, `MAX_REMAINING` are counted.
        """


class PendingStore(Protocol):
    """Entries that wait."""

    def add(self) -> Awaitable[int]:
        """Adds some of them to a chain; gives their number, 0 when there is nothing to do now."""


class ReceiptStore(Protocol):
    """Keeps receipts, and which ones are to be written."""

    async def due_now(self, limit: int) -> Sequence[JobKey]:
        """Jobs whose receipt is to be written now, longest waiting first; not given again for a while."""

    async def due(self, key: JobKey) -> Due | None:
        """What is due for a job; None for nothing."""

    async def settle(self, key: JobKey, due: Due, receipt: Receipt | None) -> None:
        """Keeps the receipt, if there is one, and nothing is due any more; does neither when there was further news."""

    async def postpone(self, key: JobKey, due: Due, seconds: float, receipt: Receipt | None) -> None:
        """Keeps the receipt, if there is one, and leaves it due again in a while; does neither after further news."""

    async def page(
        self, tenant_id: str, filters: ReceiptFilters, after: PageCursor | None, limit: int
    ) -> tuple[Sequence[Receipt], PageCursor | None]:
        """Receipts of a tenant, newest first, without attempts, and where the next page goes on; None at the end.

        A page may have fewer than `limit`, even none, before the end: it looks at so many receipts at most.
        """

    async def receipt(self, tenant_id: str, id_: str) -> Receipt | None:
        """A receipt by its own id or its job's."""


class TermsStore(Protocol):
    """Keeps the days of tenants that have their own."""

    async def find(self, tenant_id: str) -> TenantRetention | None:
        """A tenant's own; None for none."""

    async def save(self, tenant_id: str, retention: TenantRetention) -> None:
        """Replaces a tenant's own, and tells the audit."""
