"""Computes a chain anew and tells what is wrong with it, one entry at a time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from svc_provenance.domain.audit import EMPTY, ChainPosition, digest

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
class Fault:
    """One fault, at a place of the chain."""

    sequence: int
    kind: FaultKind
    detail: str


class ChainCheck:
    """One pass over a chain. Entries come in the order of their places, anchors beside the entry they speak of.

    `after` is what the first entry follows; without a digest it is trusted to follow something.
    """

    def __init__(self, chain: str, after: ChainPosition, *, trusted: bool = False) -> None:
        self.chain = chain
        self.faults: list[Fault] = []
        self.entries = 0
        self.first = 0
        self._last = after
        self._compare_link = not trusted

    @property
    def end(self) -> ChainPosition:
        """The last entry seen, or the one before the first when none was; without a digest when that is not known."""
        return self._last

    @property
    def last(self) -> int:
        """Place of the last entry seen; the one before the first when none was."""
        return self._last.sequence

    @property
    def expected(self) -> int:
        """Place of the entry that should come next."""
        return self._last.sequence + 1

    def entry(self, linked: ChainedEntry) -> None:
        """Looks at the next entry."""
        place = linked.entry.sequence
        if place < self.expected:
            self.fault(place, FaultKind.BROKEN_LINK, "another entry holds this place, or the chain starts behind it")
            return
        if place > self.expected:
            self.fault(self.expected, FaultKind.MISSING, _gap(self.expected, place - 1))
            self._compare_link = False
        if linked.entry.chain != self.chain or digest(linked.previous_digest, linked.entry) != linked.digest:
            self.fault(place, FaultKind.CHANGED, "the content does not fit the digest")
        if self._compare_link and linked.previous_digest != self._last.digest:
            self.fault(place, FaultKind.BROKEN_LINK, "it does not follow the entry before")
        self.entries += 1
        self.first = self.first or place
        self._last = linked.end
        self._compare_link = True

    def end_part(self, place: int) -> None:
        """Ends a part at a place that others follow: entries up to there that were not seen are missing."""
        if place >= self.expected:
            self.fault(self.expected, FaultKind.MISSING, _gap(self.expected, place))
            self._last = ChainPosition(place, b"")
            self._compare_link = False

    def anchor(self, anchor: SignedStatement, linked: ChainedEntry) -> None:
        """Compares an entry with a genuine anchor of its place."""
        if anchor.end.digest != linked.digest:
            self.fault(linked.entry.sequence, FaultKind.ANCHOR_MISMATCH, "an anchor says another digest")

    def forged(self, sequence: int) -> None:
        """Notes an anchor that is not ours."""
        self.fault(sequence, FaultKind.ANCHOR_FORGED, "the anchor's signature is not ours, or not for this place")

    def head(self, head: ChainPosition | None) -> None:
        """Compares the end that was reached with the one that the chain is known to have."""
        known = head or EMPTY
        seen = self.entries or self._compare_link
        if known.sequence > self.last:
            self.fault(self.expected, FaultKind.TRUNCATED, f"the head is at {known.sequence}")
        elif known.sequence < self.last and seen:
            self.fault(known.sequence + 1, FaultKind.BROKEN_LINK, f"the chain's head is at {known.sequence}")
        elif known.digest != self._last.digest and seen:
            self.fault(self.last, FaultKind.BROKEN_LINK, "the chain's head holds another digest")

    def newest_anchor(self, anchor: SignedStatement | None, *, made: int, listed: int) -> None:
        """Compares the end that was reached with the newest genuine anchor, and the newest place that has one,
        genuine or not, with the one that is known to have got one.
        """
        newest = anchor.end.sequence if anchor else 0
        if newest > self.last:
            self.fault(self.expected, FaultKind.TRUNCATED, f"an anchor was made of entry {newest}")
        if made > listed:
            self.fault(made, FaultKind.ANCHOR_MISMATCH, "the anchor that was made of it is gone")

    def fault(self, sequence: int, kind: FaultKind, detail: str) -> None:
        """Notes a fault; those beyond `MAX_FAULTS` are left out."""
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(Fault(sequence, kind, detail))


def _gap(first: int, last: int) -> str:
    return f"entry {first} is missing" if first == last else f"entries {first} to {last} are missing"
