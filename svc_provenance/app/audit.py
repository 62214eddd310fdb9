"""Reading, verifying and exporting audit chains."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.errors import not_found
from svc_provenance.app.audit_verification import MAX_ANCHORS, MAX_ENTRIES, PAGE, ChainVerification, is_anchor_of
from svc_provenance.domain.audit import Statement, entry_members, statement_members, to_base64url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime

    from svc_provenance.app.audit_verification import VerificationReport
    from svc_provenance.app.ports import AnchorStore, AuditStore, StatementSigner
    from svc_provenance.domain.audit import ChainedEntry, ChainPosition, Decision, SignedStatement


@dataclass(frozen=True)
class AuditFilters:
    """Filters of a list; an empty one matches every entry. `end` is exclusive."""

    subject: str = ""
    action: str = ""
    resource_type: str = ""
    resource_id: str = ""
    decision: Decision | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True)
class ChainState:
    """A chain at one moment: its head, the sequence of its last entry (0: none), its start if entries were dropped."""

    head: ChainPosition | None
    last_sequence: int
    start: SignedStatement | None


class Audit:
    """Reads, verifies and exports chains."""

    def __init__(
        self,
        store: AuditStore,
        anchors: AnchorStore,
        signer: StatementSigner,
        *,
        max_entries: int = MAX_ENTRIES,
        max_anchors: int = MAX_ANCHORS,
    ) -> None:
        self._store = store
        self._anchors = anchors
        self._signer = signer
        self._verification = ChainVerification(store, anchors, signer, max_entries, max_anchors)

    async def page(
        self, chain: str, filters: AuditFilters, before: int, limit: int
    ) -> tuple[Sequence[ChainedEntry], int]:
        """Returns a page, newest first, and the sequence that the next page ends before; 0 for no next page."""
        return await self._store.page(chain, filters, before, limit)

    async def get(self, chain: str, audit_id: str) -> ChainedEntry:
        """Returns one entry; NOT_FOUND when the chain has none of this id."""
        found = await self._store.get(chain, audit_id)
        if found is None:
            raise not_found("audit event", audit_id)
        return found

    async def verify(self, chain: str, from_sequence: int = 0, previous_digest: bytes = b"") -> VerificationReport:
        """Verifies a part of a chain; the next part begins at the report's `next_sequence`, behind `last_digest`.

        INVALID_ARGUMENT when the chain ends before `from_sequence`, or when the entry of `previous_digest` was dropped.
        """
        return await self._verification.verify(chain, from_sequence, previous_digest)

    async def export(self, chain: str, from_sequence: int = 0) -> AsyncIterator[bytes]:
        """Yields JSON lines, many a chunk: each entry in canonical form with its digests, then the newest anchor."""
        last = (await self._store.chain_state(chain)).last_sequence
        after: ChainedEntry | None = None
        while page := await self._store.entries_between(chain, after, from_sequence, last, PAGE):
            yield await asyncio.to_thread(_lines, page)
            after = page[-1]
        yield _line(await self._newest_anchor(chain, after.entry.sequence if after else last))

    async def _newest_anchor(self, chain: str, last: int) -> Mapping[str, object]:
        """Returns the newest genuine anchor up to a sequence, with the key to verify it."""
        keys = await self._signer.public_keys()
        high, width = last, MAX_ANCHORS
        while high > 0:
            sequences = await self._newest_anchored(chain, max(high - width, 0) + 1, high)
            for sequence in reversed(sequences):
                anchor = await self._anchors.read(chain, sequence)
                if anchor is not None and is_anchor_of(chain, sequence, anchor, self._signer, keys):
                    return {
                        "anchor": statement_members(Statement.ANCHOR, anchor.chain, anchor.position, anchor.created_at),
                        "key_version": anchor.key_version,
                        "public_key": to_base64url(keys[anchor.key_version]),
                        "signature": to_base64url(anchor.signature),
                    }
            high, width = (sequences[0] - 1, MAX_ANCHORS) if sequences else (high - width, 2 * width)
        return {"anchor": None}

    async def _newest_anchored(self, chain: str, low: int, high: int) -> Sequence[int]:
        """Returns the newest sequences between two that have an anchor, `MAX_ANCHORS` at most, in their order."""
        newest: Sequence[int] = ()
        while low <= high:
            listed = await self._anchors.sequences(chain, low, MAX_ANCHORS)
            page = [sequence for sequence in listed if sequence <= high]
            newest = [*newest, *page][-MAX_ANCHORS:]
            if len(page) < MAX_ANCHORS:
                break
            low = page[-1] + 1
        return newest


def _lines(page: Sequence[ChainedEntry]) -> bytes:
    return b"".join(_line(_exported(chained_entry)) for chained_entry in page)


def _exported(chained_entry: ChainedEntry) -> Mapping[str, object]:
    return {
        "entry": entry_members(chained_entry.entry),
        "previous_digest": chained_entry.previous_digest.hex(),
        "digest": chained_entry.digest.hex(),
    }


def _line(members: Mapping[str, object]) -> bytes:
    return json.dumps(members, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"
