"""Reading, verifying and exporting audit chains."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.errors import not_found
from svc_provenance.app.audit_verification import MAX_ANCHORS, MAX_ENTRIES, PAGE, ChainVerification, is_anchor_of
from svc_provenance.domain.audit import Statement, form, statement_form, to_base64url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime

    from svc_provenance.app.audit_verification import Report
    from svc_provenance.app.ports import Anchors, AuditStore, Signatures
    from svc_provenance.domain.audit import ChainedEntry, ChainPosition, Decision, SignedStatement


@dataclass(frozen=True)
class AuditFilters:
    """What is listed; empty: all of it. `end` is exclusive."""

    subject: str = ""
    action: str = ""
    resource_type: str = ""
    resource_id: str = ""
    decision: Decision | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True)
class ChainState:
    """A chain at one moment: its head, the place of its last entry (0: none), where it starts if not at the first."""

    head: ChainPosition | None
    last: int
    start: SignedStatement | None


class Audit:
    """Reads chains and computes them anew."""

    def __init__(
        self,
        store: AuditStore,
        anchors: Anchors,
        signatures: Signatures,
        *,
        max_entries: int = MAX_ENTRIES,
        max_anchors: int = MAX_ANCHORS,
    ) -> None:
        self._store = store
        self._anchors = anchors
        self._signatures = signatures
        self._verification = ChainVerification(store, anchors, signatures, max_entries, max_anchors)

    async def page(
        self, chain: str, filters: AuditFilters, before: int, limit: int
    ) -> tuple[Sequence[ChainedEntry], int]:
        """A page, newest first, and the place that the next page ends before; 0 for no next page."""
        return await self._store.page(chain, filters, before, limit)

    async def get(self, chain: str, audit_id: str) -> ChainedEntry:
        """One entry; NOT_FOUND when the chain has none of this id."""
        found = await self._store.one(chain, audit_id)
        if found is None:
            raise not_found("audit event", audit_id)
        return found

    async def verify(self, chain: str, from_sequence: int = 0, previous_digest: bytes = b"") -> Report:
        """Computes a part of a chain anew; the next part begins at the report's `next_sequence`, behind `last_digest`.

        INVALID_ARGUMENT when the chain ends before `from_sequence`, or when no entry is kept that a digest could be of.
        """
        return await self._verification.verify(chain, from_sequence, previous_digest)

    async def export(self, chain: str, from_sequence: int = 0) -> AsyncIterator[bytes]:
        """Lines of JSON, many a chunk: each entry in its canonical form with its digests, then the newest anchor."""
        last = (await self._store.state(chain)).last
        after: ChainedEntry | None = None
        while page := await self._store.span(chain, after, from_sequence, last, PAGE):
            yield await asyncio.to_thread(_lines, page)
            after = page[-1]
        yield _line(await self._newest(chain, after.entry.sequence if after else last))

    async def _newest(self, chain: str, last: int) -> Mapping[str, object]:
        """The newest genuine anchor up to a place, with the key to verify it."""
        keys = await self._signatures.public_keys()
        high, width = last, MAX_ANCHORS
        while high > 0:
            places = await self._newest_places(chain, max(high - width, 0) + 1, high)
            for place in reversed(places):
                anchor = await self._anchors.read(chain, place)
                if anchor is not None and is_anchor_of(chain, place, anchor, self._signatures, keys):
                    return {
                        "anchor": statement_form(Statement.ANCHOR, anchor.chain, anchor.end, anchor.created_at),
                        "key_version": anchor.key_version,
                        "public_key": to_base64url(keys[anchor.key_version]),
                        "signature": to_base64url(anchor.signature),
                    }
            high, width = (places[0] - 1, MAX_ANCHORS) if places else (high - width, 2 * width)
        return {"anchor": None}

    async def _newest_places(self, chain: str, low: int, high: int) -> Sequence[int]:
        """The newest places between two that have an anchor, `MAX_ANCHORS` at most, in their order."""
        newest: Sequence[int] = ()
        while low <= high:
            listed = await self._anchors.places(chain, low, MAX_ANCHORS)
            page = [place for place in listed if place <= high]
            newest = [*newest, *page][-MAX_ANCHORS:]
            if len(page) < MAX_ANCHORS:
                break
            low = page[-1] + 1
        return newest


def _lines(page: Sequence[ChainedEntry]) -> bytes:
    return b"".join(_line(_entry(linked)) for linked in page)


def _entry(linked: ChainedEntry) -> Mapping[str, object]:
    return {
        "entry": form(linked.entry),
        "previous_digest": linked.previous_digest.hex(),
        "digest": linked.digest.hex(),
    }


def _line(members: Mapping[str, object]) -> bytes:
    return json.dumps(members, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"
