"""Verifies an audit chain part by part, so that one call ends soon however long the chain is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.errors import invalid
from svc_provenance.domain.audit import EMPTY_CHAIN, ChainPosition, Statement
from svc_provenance.domain.audit_check import ChainCheck, FaultKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from svc_provenance.app.ports import AnchorStore, AuditStore, StatementSigner
    from svc_provenance.domain.audit import ChainedEntry, SignedStatement
    from svc_provenance.domain.audit_check import AuditFinding

PAGE = 500
"""Entries that are read, and then computed in a thread, at once."""
MAX_ENTRIES = 20_000
"""Most entries of a part: some 2 s on two cores."""
MAX_ANCHORS = 1_000
"""Most anchors of a part: with 10 ms a read, and `ANCHOR_READS` of them at once, some 1.5 s."""
ANCHOR_READS = 8


@dataclass(frozen=True)
class VerificationReport:
    """The result of verifying a part of a chain.

    `next_sequence` is where the next part begins, 0 when there is none. `last_digest` is that of the entry before it,
    empty when that one is missing. `anchor` is the newest genuine one of the part, of the last part that of the chain.
    """

    entries: int
    first_sequence: int
    last_sequence: int
    last_digest: bytes
    next_sequence: int
    faults: Sequence[AuditFinding]
    anchor: SignedStatement | None


class ChainVerification:
    """Verifies parts of chains, of at most so many entries and so many anchors."""

    def __init__(
        self, store: AuditStore, anchors: AnchorStore, signer: StatementSigner, max_entries: int, max_anchors: int
    ) -> None:
        self._store = store
        self._anchors = anchors
        self._signer = signer
        self._max_entries = max_entries
        self._max_anchors = max_anchors

    async def verify(self, chain: str, from_sequence: int, previous_digest: bytes) -> VerificationReport:
        """Verifies the part that begins at `from_sequence`, which follows `previous_digest`; empty: not compared.

        INVALID_ARGUMENT when the chain ends before `from_sequence`, or when the entry of `previous_digest` was dropped.
        """
        keys = await self._signer.public_keys()
        start = (await self._store.chain_state(chain)).start
        check = self._begin(chain, start, keys, from_sequence, previous_digest)
        first = check.next_sequence
        # In this order: an anchor that is recorded is listed, and what is listed was appended before.
        recorded = await self._store.newest_anchored(chain)
        sequences = await self._anchors.sequences(chain, first, self._max_anchors + 1)
        state = await self._store.chain_state(chain)
        if state.start != start:  # a month was dropped meanwhile
            return await self.verify(chain, from_sequence, previous_digest)
        end = max(state.last_sequence, state.head.sequence if state.head else 0)
        if from_sequence > max(end + bool(previous_digest), 1) and not sequences:
            raise invalid("from_sequence", f"the chain ends at {end}")

        many = len(sequences) > self._max_anchors
        bound = sequences[self._max_anchors] - 1 if many else state.last_sequence
        low = from_sequence if from_sequence == first else 0
        part_end = min(bound, state.last_sequence)
        checked, anchored = await self._check_entries(check, low, part_end, frozenset(sequences))
        if checked < state.last_sequence:
            check.end_part(checked)
            newest = await self._check_anchors(check, [at for at in sequences if at <= checked], anchored, keys)
        else:
            check.compare_head(state.head)
            listed = await self._anchors.sequences(chain, recorded, 1) if recorded else ()
            before = [at for at in listed if at < first]
            newest = await self._check_anchors(check, [*before, *sequences], anchored, keys)
            check.compare_newest_anchor(newest, recorded=recorded, listed=max(listed, default=0))
        return _report(check, 0 if checked >= state.last_sequence else checked + 1, newest)

    def _begin(
        self,
        chain: str,
        start: SignedStatement | None,
        keys: Mapping[int, bytes],
        from_sequence: int,
        previous_digest: bytes,
    ) -> ChainCheck:
        is_genuine = start is not None and self._signer.is_genuine(Statement.START, start, keys)
        after = start.position if start is not None and is_genuine else EMPTY_CHAIN
        if from_sequence > after.sequence + 1:
            previous = ChainPosition(from_sequence - 1, previous_digest)
            return ChainCheck(chain, previous, previous_digest_unknown=not previous_digest)
        if previous_digest and from_sequence <= after.sequence:
            raise invalid(
                "previous_digest", f"no entry is kept before {after.sequence + 1}: verify from 0, without a digest"
            )
        check = ChainCheck(chain, after)
        if previous_digest not in {b"", after.digest}:
            check.add_fault(from_sequence, FaultKind.BROKEN_LINK, "it does not follow the digest that was given")
        if start is not None and not is_genuine:
            check.add_forged_anchor(start.position.sequence)
        return check

    async def _check_entries(
        self, check: ChainCheck, low: int, end: int, sequences: frozenset[int]
    ) -> tuple[int, Mapping[int, ChainedEntry]]:
        """Checks the entries up to `end`, or as many as a part has.

        Returns the last sequence checked, and the entries that have an anchor.
        """
        anchored: dict[int, ChainedEntry] = {}
        after: ChainedEntry | None = None
        left = self._max_entries
        while left and (page := await self._store.entries_between(check.chain, after, low, end, min(PAGE, left))):
            await asyncio.to_thread(_check_page, check, page)
            for chained_entry in page:
                if chained_entry.entry.sequence in sequences:
                    anchored.setdefault(chained_entry.entry.sequence, chained_entry)
            after = page[-1]
            left -= len(page)
        if left:
            return end, anchored
        following = await self._store.entries_between(check.chain, after, low, end, 1)
        if not following:
            return end, anchored
        if following[0].entry.sequence <= check.last_sequence:  # the next part would not see the duplicate
            check.add_entry(following[0])
        return check.last_sequence, anchored

    async def _check_anchors(
        self,
        check: ChainCheck,
        sequences: Sequence[int],
        anchored: Mapping[int, ChainedEntry],
        keys: Mapping[int, bytes],
    ) -> SignedStatement | None:
        """Reads anchors and compares them with their entries; returns the newest genuine one."""
        found: list[SignedStatement | None] = []
        for at in range(0, len(sequences), ANCHOR_READS):
            group = sequences[at : at + ANCHOR_READS]
            found += await asyncio.gather(*(self._anchors.read(check.chain, sequence) for sequence in group))

        def compare() -> SignedStatement | None:
            newest = None
            for sequence, anchor in zip(sequences, found, strict=True):
                if anchor is None or not is_anchor_of(check.chain, sequence, anchor, self._signer, keys):
                    check.add_forged_anchor(sequence)
                    continue
                newest = anchor
                if sequence in anchored:
                    check.compare_anchor(anchor, anchored[sequence])
            return newest

        return await asyncio.to_thread(compare)


def is_anchor_of(
    chain: str, sequence: int, anchor: SignedStatement, signer: StatementSigner, keys: Mapping[int, bytes]
) -> bool:
    """Returns whether an anchor is a genuine one of this sequence."""
    return (anchor.chain, anchor.position.sequence) == (chain, sequence) and signer.is_genuine(
        Statement.ANCHOR, anchor, keys
    )


def _check_page(check: ChainCheck, page: Sequence[ChainedEntry]) -> None:
    for chained_entry in page:
        check.add_entry(chained_entry)


def _report(check: ChainCheck, next_sequence: int, newest: SignedStatement | None) -> VerificationReport:
    faults = sorted(check.faults, key=lambda fault: fault.sequence)
    last = check.last_sequence if check.entries else 0
    digest = check.position.digest
    return VerificationReport(check.entries, check.first_sequence, last, digest, next_sequence, faults, newest)
