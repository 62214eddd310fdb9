"""Reading, verifying and exporting audit chains."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mesh.errors import invalid, not_found
from svc_provenance.domain.audit import EMPTY, ChainPosition, Statement, form, statement_form, to_base64url
from svc_provenance.domain.audit_check import ChainCheck

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime

    from svc_provenance.domain.audit import ChainedEntry, Decision, SignedStatement
    from svc_provenance.domain.audit_check import Fault

PAGE = 500


@dataclass(frozen=True)
class Filters:
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


@dataclass(frozen=True)
class Report:
    """What a pass over a chain came to. `anchor` is the newest genuine one."""

    entries: int
    first: int
    last: int
    faults: Sequence[Fault]
    anchor: SignedStatement | None


class AuditStore(Protocol):
    """Keeps chains."""

    async def page(self, chain: str, filters: Filters, before: int, limit: int) -> tuple[Sequence[ChainedEntry], int]:
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

    async def places(self, chain: str) -> Sequence[int]:
        """The places that have an anchor, in their order."""

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


class Audit:
    """Reads chains and computes them anew."""

    def __init__(self, store: AuditStore, anchors: Anchors, signatures: Signatures) -> None:
        self._store = store
        self._anchors = anchors
        self._signatures = signatures

    async def page(self, chain: str, filters: Filters, before: int, limit: int) -> tuple[Sequence[ChainedEntry], int]:
        """A page, newest first, and the place that the next page ends before; 0 for no next page."""
        return await self._store.page(chain, filters, before, limit)

    async def of(self, chain: str, audit_id: str) -> ChainedEntry:
        """One entry; NOT_FOUND when the chain has none of this id."""
        found = await self._store.one(chain, audit_id)
        if found is None:
            raise not_found("audit event", audit_id)
        return found

    async def verify(self, chain: str, from_sequence: int = 0) -> Report:
        """Computes a chain anew, in pages. INVALID_ARGUMENT when it ends before `from_sequence`."""
        # In this order: what was anchored is listed, and what is listed was appended before.
        anchored = await self._store.anchored(chain)
        places = await self._anchors.places(chain)
        state = await self._store.state(chain)
        last = max(state.last, state.head.sequence if state.head else 0)
        if from_sequence > max(last, *places, 1):
            raise invalid("from_sequence", f"the chain ends at {last}")
        keys = await self._signatures.public_keys()
        check = self._start(chain, state, keys, from_sequence)
        before = [at for at in places if at <= check.last]
        anchor_check = _AnchorCheck(
            chain, check, self._anchors, self._signatures, keys, [*before[-1:], *places[len(before) :]]
        )
        after: ChainedEntry | None = None
        low = from_sequence if from_sequence > check.last else 0
        while page := await self._store.span(chain, after, low, last, PAGE):
            for linked in page:
                check.entry(linked)
                await anchor_check.check_up_to(linked)
            after = page[-1]
        check.head(state.head)
        await anchor_check.check_rest()
        check.newest_anchor(anchor_check.newest, made=anchored, listed=max(places, default=0))
        faults = sorted(check.faults, key=lambda fault: fault.sequence)
        return Report(check.entries, check.first, check.last if check.entries else 0, faults, anchor_check.newest)

    async def export(self, chain: str, from_sequence: int = 0) -> AsyncIterator[bytes]:
        """Lines of JSON, many a chunk: each entry in its canonical form with its digests, then the newest anchor."""
        last = (await self._store.state(chain)).last
        after: ChainedEntry | None = None
        while page := await self._store.span(chain, after, from_sequence, last, PAGE):
            yield b"".join(_line(_entry(linked)) for linked in page)
            after = page[-1]
        yield _line(await self._newest(chain, after.entry.sequence if after else last))

    def _start(self, chain: str, state: ChainState, keys: Mapping[int, bytes], from_sequence: int) -> ChainCheck:
        start = state.start
        genuine = start is not None and self._signatures.genuine(Statement.START, start, keys)
        after = start.end if start is not None and genuine else EMPTY
        if from_sequence > after.sequence + 1:
            return ChainCheck(chain, ChainPosition(from_sequence - 1, b""), trusted=True)
        check = ChainCheck(chain, after)
        if start is not None and not genuine:
            check.forged(start.end.sequence)
        return check

    async def _newest(self, chain: str, last: int) -> Mapping[str, object]:
        """The newest genuine anchor up to a place, with the key to verify it."""
        keys = await self._signatures.public_keys()
        for place in reversed([at for at in await self._anchors.places(chain) if at <= last]):
            anchor = await self._anchors.read(chain, place)
            if anchor is not None and self._signatures.genuine(Statement.ANCHOR, anchor, keys):
                return {
                    "anchor": statement_form(Statement.ANCHOR, anchor.chain, anchor.end, anchor.created_at),
                    "key_version": anchor.key_version,
                    "public_key": to_base64url(keys[anchor.key_version]),
                    "signature": to_base64url(anchor.signature),
                }
        return {"anchor": None}


class _AnchorCheck:
    """The anchors of a chain, looked at as the entries pass."""

    def __init__(  # noqa: PLR0917
        self,
        chain: str,
        check: ChainCheck,
        anchors: Anchors,
        signatures: Signatures,
        keys: Mapping[int, bytes],
        places: Sequence[int],
    ) -> None:
        self._chain = chain
        self._check = check
        self._anchors = anchors
        self._signatures = signatures
        self._keys = keys
        self._left = list(reversed(places))
        self.newest: SignedStatement | None = None

    async def check_up_to(self, linked: ChainedEntry) -> None:
        """Looks at the anchors up to an entry."""
        while self._left and self._left[-1] <= linked.entry.sequence:
            anchor = await self._next()
            if anchor is not None and anchor.end.sequence == linked.entry.sequence:
                self._check.anchor(anchor, linked)

    async def check_rest(self) -> None:
        """Looks at the anchors behind the last entry."""
        while self._left:
            await self._next()

    async def _next(self) -> SignedStatement | None:
        place = self._left.pop()
        anchor = await self._anchors.read(self._chain, place)
        if (
            anchor is None
            or (anchor.chain, anchor.end.sequence) != (self._chain, place)
            or not self._signatures.genuine(Statement.ANCHOR, anchor, self._keys)
        ):
            self._check.forged(place)
            return None
        self.newest = anchor
        return anchor


def _entry(linked: ChainedEntry) -> Mapping[str, object]:
    return {
        "entry": form(linked.entry),
        "previous_digest": linked.previous_digest.hex(),
        "digest": linked.digest.hex(),
    }


def _line(members: Mapping[str, object]) -> bytes:
    return json.dumps(members, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"
