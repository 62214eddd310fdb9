"""What provenance needs from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import date, datetime

    from svc_provenance.app.audit import AuditFilters, ChainState
    from svc_provenance.app.dead_letters import DeadLetterFilters
    from svc_provenance.app.receipts import DueReceipt, JobKey, ReceiptFilters
    from svc_provenance.domain.asset_records import AssetCreation, Provenance, StoredAsset
    from svc_provenance.domain.audit import ChainedEntry, ChainPosition, SignedStatement, Statement
    from svc_provenance.domain.dead_letters import DeadLetterRecord
    from svc_provenance.domain.model import EvaluationSummary, TraceEntry, Transaction
    from svc_provenance.domain.pages import PageCursor
    from svc_provenance.domain.receipts import Receipt
    from svc_provenance.domain.retention import TenantRetention


class ProvenanceStore(Protocol):
    """Stores the entries of traces, and the provenance of assets. Writes belong to the transaction of their event."""

    async def add_entries(
        self, transaction: Transaction, tenant_id: str, entries: Sequence[TraceEntry], *, replaces: bool = True
    ) -> None:
        """Stores entries. Each replaces an earlier one of its id unless its sequence is lower.

        One without a sequence replaces what is there because it arrived later, unless `replaces` says that it is late.
        """

    async def job_entry(self, transaction: Transaction, tenant_id: str, job_id: str) -> TraceEntry | None:
        """Returns the entry of the job itself, locked until the transaction ends; None before there is one."""

    async def add_asset(self, transaction: Transaction, tenant_id: str, asset: StoredAsset) -> None:
        """Stores what an asset's event says, unless an earlier event of the asset did."""

    async def add_creation(
        self, transaction: Transaction, tenant_id: str, asset_ids: Sequence[str], creation: AssetCreation
    ) -> None:
        """Stores how an attempt created assets, for each unless an earlier attempt created it."""

    async def add_evaluation(
        self, transaction: Transaction, tenant_id: str, asset_id: str, evaluation: EvaluationSummary
    ) -> None:
        """Stores the evaluation of an asset unless a newer one is there: ids of evaluations (UUIDv7) grow with time."""

    async def erase(self, transaction: Transaction, tenant_id: str, asset_id: str, now: datetime) -> None:
        """Removes parameters and prompt from an erased asset's provenance; the rest stays."""

    async def trace_entries(self, tenant_id: str, job_id: str) -> Sequence[TraceEntry]:
        """Returns all entries of a job's trace."""

    async def provenance(self, tenant_id: str, asset_id: str) -> Provenance | None:
        """Returns one asset's own provenance; None before its event arrived."""

    async def ancestors(self, tenant_id: str, asset_id: str) -> Sequence[Provenance]:
        """Returns the ancestors of an asset, parents before grandparents, each once, within the bounds of a lineage."""


class AnchoringStore(Protocol):
    """What anchoring and retention need of the store of chains."""

    async def chains_due(self, entries: int, before: datetime) -> Mapping[str, ChainPosition]:
        """Returns the heads of chains that are due.

        Due are chains with so many entries since their last anchor, or with any and an anchor older than `before`.
        """

    async def record_anchor(self, chain: str, sequence: int, at: datetime) -> None:
        """Records that the entry of a sequence has its anchor."""

    async def create_partitions(self, today: date) -> None:
        """Creates the partitions of the months ahead."""

    async def oldest_month(self, before: datetime) -> date | None:
        """Returns the oldest month, if it ended before a moment."""

    async def last_positions(self, month: date) -> Mapping[str, ChainPosition]:
        """Returns the last entry of each chain in a month."""

    async def drop_month(self, month: date, starts: Sequence[SignedStatement]) -> int:
        """Drops the oldest month and stores where its chains start from then on; returns the number of entries."""


class AuditStore(Protocol):
    """Stores chains."""

    async def page(
        self, chain: str, filters: AuditFilters, before: int, limit: int
    ) -> tuple[Sequence[ChainedEntry], int]:
        """Returns entries before a sequence (0: the newest), newest first, and the sequence before which the next page
        begins; 0 for none.

        A page may have fewer than `limit`, even none, before the end: it scans a bounded number of entries.
        """

    async def get(self, chain: str, audit_id: str) -> ChainedEntry | None:
        """Returns an entry by its id."""

    async def entries_between(
        self, chain: str, after: ChainedEntry | None, first: int, last: int, limit: int
    ) -> Sequence[ChainedEntry]:
        """Returns entries between two sequences in their order, those behind `after`."""

    async def chain_state(self, chain: str) -> ChainState:
        """Returns the chain as it is now, seen at one moment."""

    async def newest_anchored(self, chain: str) -> int:
        """Returns the sequence of the newest anchor that was recorded; 0 for none."""


class AnchorStore(Protocol):
    """Stores anchors, each written once, apart from the store of chains."""

    async def sequences(self, chain: str, first: int, limit: int) -> Sequence[int]:
        """Returns the sequences from `first` on that have an anchor, in their order, `limit` at most."""

    async def read(self, chain: str, sequence: int) -> SignedStatement | None:
        """Returns the anchor of a sequence; None when what is there is not one."""

    async def put(self, anchor: SignedStatement) -> bool:
        """Stores an anchor unless its sequence has one; returns whether it did."""


class StatementSigner(Protocol):
    """Signs statements about chains, and verifies their signatures."""

    async def sign(self, kind: Statement, chain: str, position: ChainPosition) -> SignedStatement:
        """Returns a statement of now."""

    async def public_keys(self) -> Mapping[int, bytes]:
        """Returns raw Ed25519 public keys by version."""

    def is_genuine(self, kind: Statement, signed: SignedStatement, keys: Mapping[int, bytes]) -> bool:
        """Returns whether one of the keys signed it."""


class StagedEntryStore(Protocol):
    """Stores audit entries until they are appended to their chain."""

    def append_next(self) -> Awaitable[int]:
        """Appends some of them to a chain; returns their number, 0 when there is nothing to do now."""


class DeadLetterStore(Protocol):
    """Stores dead letters."""

    async def change(
        self, tenant_id: str, dlq_id: str, decide: Callable[[DeadLetterRecord], DeadLetterRecord], *, audited: bool
    ) -> DeadLetterRecord | None:
        """Replaces a dead letter by what `decide` makes of it, under a lock; None for an unknown one.

        A new `sent_id` sends the event again with that id, in the same transaction. `audited` adds an audit entry: a
        caller requested the change.
        """

    async def get(self, tenant_id: str, dlq_id: str) -> DeadLetterRecord | None:
        """Returns one dead letter with its event."""

    async def page(
        self, tenant_id: str, filters: DeadLetterFilters, after: PageCursor | None, limit: int
    ) -> tuple[Sequence[DeadLetterRecord], PageCursor | None]:
        """Returns dead letters of a tenant, newest first, without their events, and the next page's cursor.

        The cursor is None at the end. A page may have fewer than `limit`, even none, before the end: it scans a bounded
        number of dead letters.
        """

    async def requeueable(self, tenant_id: str, filters: DeadLetterFilters, limit: int) -> tuple[Sequence[str], int]:
        """Returns ids of dead letters that can be sent again, oldest first, and how many there are in all.

        Beyond the ids, `MAX_REMAINING` are counted.
        """


class ReceiptStore(Protocol):
    """Stores receipts, and which ones are due."""

    async def claim_due(self, limit: int) -> Sequence[JobKey]:
        """Returns jobs whose receipt is due, longest waiting first; not returned again for a while."""

    async def due(self, key: JobKey) -> DueReceipt | None:
        """Returns what is due for a job; None for nothing."""

    async def complete(self, key: JobKey, due: DueReceipt, receipt: Receipt | None) -> None:
        """Stores the receipt, if there is one, and nothing is due any more; does neither when the job changed since."""

    async def postpone(self, key: JobKey, due: DueReceipt, seconds: float, receipt: Receipt | None) -> None:
        """Stores the receipt, if there is one, and makes it due in a while; does neither when the job changed since."""

    async def page(
        self, tenant_id: str, filters: ReceiptFilters, after: PageCursor | None, limit: int
    ) -> tuple[Sequence[Receipt], PageCursor | None]:
        """Returns receipts of a tenant, newest first, without attempts, and the next page's cursor; None at the end.

        A page may have fewer than `limit`, even none, before the end: it scans a bounded number of receipts.
        """

    async def get(self, tenant_id: str, id_: str) -> Receipt | None:
        """Returns a receipt by its own id or its job's."""


class RetentionStore(Protocol):
    """Stores the retention of tenants that have their own."""

    async def get(self, tenant_id: str) -> TenantRetention | None:
        """Returns a tenant's own; None for none."""

    async def save(self, tenant_id: str, retention: TenantRetention) -> None:
        """Replaces a tenant's own, with an audit entry."""
