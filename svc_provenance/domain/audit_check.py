"""Verifies a chain entry by entry, and collects its faults."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from svc_provenance.domain.audit import EMPTY_CHAIN, ChainPosition, entry_digest

if TYPE_CHECKING:
    from svc_provenance.domain.audit import ChainedEntry, SignedStatement

MAX_FAULTS = 1_000


class FaultKind(StrEnum):
    """What is wrong; the names of `soma.provenance.v1.AuditFaultKind` without their prefix."""

    CHANGED = "CHANGED"
    MISSING = "MISSING"
    BROKEN_LINK = "BROKEN_LINK"
    TRUNCATED = "TRUNCATED"
    ANCHOR_MISMATCH = "ANCHOR_MISMATCH"
    ANCHOR_FORGED = "ANCHOR_FORGED"


@dataclass(frozen=True)
class AuditFinding:
    """What is wrong at one sequence of the chain."""

    sequence: int
    kind: FaultKind
    detail: str


class ChainCheck:
    """One pass over a chain. Entries are added in the order of their sequences, anchors beside their entries.

    `after` is what the first entry follows; with `previous_digest_unknown` its digest is not compared.
    """

    def __init__(self, chain: str, after: ChainPosition, *, previous_digest_unknown: bool = False) -> None:
        self.chain = chain
        self.faults: list[AuditFinding] = []
        self.entries = 0
        self.first_sequence = 0
        self._position = after
        self._compare_link = not previous_digest_unknown

    @property
    def position(self) -> ChainPosition:
        """The last entry added, or the one before the first when none was; without a digest when that is unknown."""
        return self._position

    @property
    def last_sequence(self) -> int:
        """Sequence of the last entry added; of the one before the first when none was."""
        return self._position.sequence

    @property
    def next_sequence(self) -> int:
        """Sequence of the entry that should come next."""
        return self._position.sequence + 1

    def add_entry(self, chained_entry: ChainedEntry) -> None:
        """Checks the next entry."""
        sequence = chained_entry.entry.sequence
        if sequence < self.next_sequence:
            detail = "another entry holds this place, or the chain starts behind it"
            self.add_fault(sequence, FaultKind.BROKEN_LINK, detail)
            return
        if sequence > self.next_sequence:
            self.add_fault(self.next_sequence, FaultKind.MISSING, _gap(self.next_sequence, sequence - 1))
            self._compare_link = False
        digest = entry_digest(chained_entry.previous_digest, chained_entry.entry)
        if chained_entry.entry.chain != self.chain or digest != chained_entry.digest:
            self.add_fault(sequence, FaultKind.CHANGED, "the content does not fit the digest")
        if self._compare_link and chained_entry.previous_digest != self._position.digest:
            self.add_fault(sequence, FaultKind.BROKEN_LINK, "it does not follow the entry before")
        self.entries += 1
        self.first_sequence = self.first_sequence or sequence
        self._position = chained_entry.position
        self._compare_link = True

    def end_part(self, last_sequence: int) -> None:
        """Ends a part that others follow: entries up to its last sequence that were not added are missing."""
        if last_sequence >= self.next_sequence:
            self.add_fault(self.next_sequence, FaultKind.MISSING, _gap(self.next_sequence, last_sequence))
            self._position = ChainPosition(last_sequence, b"")
            self._compare_link = False

    def compare_anchor(self, anchor: SignedStatement, chained_entry: ChainedEntry) -> None:
        """Compares an entry with a genuine anchor of its sequence."""
        if anchor.position.digest != chained_entry.digest:
            self.add_fault(chained_entry.entry.sequence, FaultKind.ANCHOR_MISMATCH, "an anchor says another digest")

    def add_forged_anchor(self, sequence: int) -> None:
        """Adds the fault of an anchor that is not ours."""
        detail = "the anchor's signature is not ours, or not for this place"
        self.add_fault(sequence, FaultKind.ANCHOR_FORGED, detail)

    def compare_head(self, head: ChainPosition | None) -> None:
        """Compares the last position with the head that is stored for the chain."""
        stored = head or EMPTY_CHAIN
        has_digest = self.entries or self._compare_link
        if stored.sequence > self.last_sequence:
            self.add_fault(self.next_sequence, FaultKind.TRUNCATED, f"the head is at {stored.sequence}")
        elif stored.sequence < self.last_sequence and has_digest:
            self.add_fault(stored.sequence + 1, FaultKind.BROKEN_LINK, f"the chain's head is at {stored.sequence}")
        elif stored.digest != self._position.digest and has_digest:
            self.add_fault(self.last_sequence, FaultKind.BROKEN_LINK, "the chain's head holds another digest")

    def compare_newest_anchor(self, anchor: SignedStatement | None, *, recorded: int, listed: int) -> None:
        """Compares the last position with the newest genuine anchor.

        `recorded` is the sequence of the newest anchor that the database knows, `listed` of the newest in the anchor
        store, genuine or not.
        """
        newest = anchor.position.sequence if anchor else 0
        if newest > self.last_sequence:
            self.add_fault(self.next_sequence, FaultKind.TRUNCATED, f"an anchor was made of entry {newest}")
        if recorded > listed:
            self.add_fault(recorded, FaultKind.ANCHOR_MISMATCH, "the anchor that was made of it is gone")

    def add_fault(self, sequence: int, kind: FaultKind, detail: str) -> None:
        """Adds a fault; those beyond `MAX_FAULTS` are left out."""
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(AuditFinding(sequence, kind, detail))


def _gap(first: int, last: int) -> str:
    return f"entry {first} is missing" if first == last else f"entries {first} to {last} are missing"
