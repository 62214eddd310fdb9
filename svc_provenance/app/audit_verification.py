"""Verifies an audit chain part by part, so that one call ends soon however long the chain is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.errors import invalid
from svc_provenance.domain.audit import EMPTY, ChainPosition, Statement
from svc_provenance.domain.audit_check import ChainCheck, FaultKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from svc_provenance.app.ports import Anchors, AuditStore, Signatures
    from svc_provenance.domain.audit import ChainedEntry, SignedStatement
    from svc_provenance.domain.audit_check import Fault

PAGE = 500
"""Entries that are read, and then computed in a thread, at once."""
MAX_ENTRIES = 20_000
"""Most entries of a part: some 2 s on two cores."""
MAX_ANCHORS = 1_000
"""Most anchors of a part: with 10 ms a read, and `ANCHOR_READS` of them at once, some 1.5 s."""
ANCHOR_READS = 8


@dataclass(frozen=True)
class Report:
    """What a pass over a part of a chain came to.

    `next_sequence` is where the next part begins, 0 when there is none. `last_digest` is that of the entry before it,
    empty when that one is missing. `anchor` is the newest genuine one of the part, of the last part that of the chain.
    """

    entries: int
    first: int
    last: int
    last_digest: bytes
    next_sequence: int
    faults: Sequence[Fault]
    anchor: SignedStatement | None


class ChainVerification:
    """Computes parts of chains anew, of at most so many entries and so many anchors."""

    def __init__(
        self, store: AuditStore, anchors: Anchors, signatures: Signatures, max_entries: int, max_anchors: int
    ) -> None:
        self._store = store
        self._anchors = anchors
        self._signatures = signatures
        self._max_entries = max_entries
        self._max_anchors = max_anchors

    async def verify(self, chain: str, from_sequence: int, previous_digest: bytes) -> Report:
        """Computes the part that begins at `from_sequence`, which follows `previous_digest`; empty: it is trusted to.

        INVALID_ARGUMENT when the chain ends before `from_sequence`, or when no entry is kept that a digest could be of.
        """
        keys = await self._signatures.public_keys()
        start = (await self._store.state(chain)).start
        check = self._begin(chain, start, keys, from_sequence, previous_digest)
        first = check.expected
        # In this order: what was anchored is listed, and what is listed was appended before.
        made = await self._store.anchored(chain)
        places = await self._anchors.places(chain, first, self._max_anchors + 1)
        state = await self._store.state(chain)
        if state.start != start:  # a month was dropped meanwhile
            return await self.verify(chain, from_sequence, previous_digest)
        end = max(state.last, state.head.sequence if state.head else 0)
        if from_sequence > max(end + bool(previous_digest), 1) and not places:
            raise invalid("from_sequence", f"the chain ends at {end}")

        bound = places[self._max_anchors] - 1 if len(places) > self._max_anchors else state.last
        low = from_sequence if from_sequence == first else 0
        reached, anchored = await self._check_entries(check, low, min(bound, state.last), frozenset(places))
        if reached < state.last:
            check.end_part(reached)
            newest = await self._check_anchors(check, [at for at in places if at <= reached], anchored, keys)
        else:
            check.head(state.head)
            known = await self._anchors.places(chain, made, 1) if made else ()
            before = [at for at in known if at < first]
            newest = await self._check_anchors(check, [*before, *places], anchored, keys)
            check.newest_anchor(newest, made=made, listed=max(known, default=0))
        return _report(check, 0 if reached >= state.last else reached + 1, newest)

    def _begin(
        self,
        chain: str,
        start: SignedStatement | None,
        keys: Mapping[int, bytes],
        from_sequence: int,
        previous_digest: bytes,
    ) -> ChainCheck:
        genuine = start is not None and self._signatures.genuine(Statement.START, start, keys)
        after = start.end if start is not None and genuine else EMPTY
        if from_sequence > after.sequence + 1:
            previous = ChainPosition(from_sequence - 1, previous_digest)
            return ChainCheck(chain, previous, trusted=not previous_digest)
        if previous_digest and from_sequence <= after.sequence:
            raise invalid(
                "previous_digest", f"no entry is kept before {after.sequence + 1}: verify from 0, without a digest"
            )
        check = ChainCheck(chain, after)
        if previous_digest not in {b"", after.digest}:
            check.fault(from_sequence, FaultKind.BROKEN_LINK, "it does not follow the digest that was given")
        if start is not None and not genuine:
            check.forged(start.end.sequence)
        return check

    async def _check_entries(
        self, check: ChainCheck, low: int, end: int, places: frozenset[int]
    ) -> tuple[int, Mapping[int, ChainedEntry]]:
        """Checks the entries up to `end`, or as many as a part has; gives the place that it came to, and the entries of
        the places that have an anchor.
        """
        anchored: dict[int, ChainedEntry] = {}
        after: ChainedEntry | None = None
        left = self._max_entries
        while left and (page := await self._store.span(check.chain, after, low, end, min(PAGE, left))):
            await asyncio.to_thread(_check_page, check, page)
            for linked in page:
                if linked.entry.sequence in places:
                    anchored.setdefault(linked.entry.sequence, linked)
            after = page[-1]
            left -= len(page)
        if left:
            return end, anchored
        following = await self._store.span(check.chain, after, low, end, 1)
        if not following:
            return end, anchored
        if following[0].entry.sequence <= check.last:  # the next part would not see that the place has two entries
            check.entry(following[0])
        return check.last, anchored

    async def _check_anchors(
        self,
        check: ChainCheck,
        places: Sequence[int],
        anchored: Mapping[int, ChainedEntry],
        keys: Mapping[int, bytes],
    ) -> SignedStatement | None:
        """Reads anchors and compares them with their entries; gives the newest genuine one."""
        found: list[SignedStatement | None] = []
        for at in range(0, len(places), ANCHOR_READS):
            group = places[at : at + ANCHOR_READS]
            found += await asyncio.gather(*(self._anchors.read(check.chain, place) for place in group))

        def compare() -> SignedStatement | None:
            newest = None
            for place, anchor in zip(places, found, strict=True):
                if anchor is None or not is_anchor_of(check.chain, place, anchor, self._signatures, keys):
                    check.forged(place)
                    continue
                newest = anchor
                if place in anchored:
                    check.anchor(anchor, anchored[place])
            return newest

        return await asyncio.to_thread(compare)


def is_anchor_of(
    chain: str, place: int, anchor: SignedStatement, signatures: Signatures, keys: Mapping[int, bytes]
) -> bool:
    """Whether an anchor is a genuine one of this place."""
    return (anchor.chain, anchor.end.sequence) == (chain, place) and signatures.genuine(Statement.ANCHOR, anchor, keys)


def _check_page(check: ChainCheck, page: Sequence[ChainedEntry]) -> None:
    for linked in page:
        check.entry(linked)


def _report(check: ChainCheck, next_sequence: int, newest: SignedStatement | None) -> Report:
    faults = sorted(check.faults, key=lambda fault: fault.sequence)
    last = check.last if check.entries else 0
    return Report(check.entries, check.first, last, check.end.digest, next_sequence, faults, newest)
