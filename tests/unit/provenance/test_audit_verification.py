"""A long chain is verified part by part, and what is wrong with it is found wherever it is."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from svc_provenance.app.audit import Audit
from svc_provenance.app.audit_verification import ANCHOR_READS
from svc_provenance.domain import audit_check
from svc_provenance.domain.audit import EMPTY_CHAIN, entry_digest
from tests.unit.provenance.audit_chains import (
    CHAIN,
    MemoryAnchorStore,
    MemoryChain,
    anchors_of,
    chained,
    faults,
    later,
    signing,
    verified,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from svc_provenance.adapters.audit_anchors import TransitStatementSigner
    from svc_provenance.domain.audit import ChainedEntry, SignedStatement

SIZE, EVERY = 2_000, 10


@dataclass(frozen=True)
class Made:
    """What every test starts from."""

    rows: Sequence[ChainedEntry]
    anchors: Sequence[SignedStatement]
    signer: TransitStatementSigner


@dataclass(frozen=True)
class Bounds:
    """Bounds of a part, and the last place of the first part that they give."""

    entries: int
    anchors: int
    border: int


BOUNDS = {"entries": Bounds(500, 1_000, 500), "anchors": Bounds(5_000, 40, 409)}


class UnderTest:
    """A chain with an anchor of each tenth entry."""

    def __init__(self, made: Made, bounds: Bounds) -> None:
        self.chain = MemoryChain(made.rows, SIZE)
        self.anchors = MemoryAnchorStore(made.anchors)
        self.bounds = bounds
        self.audit = Audit(
            self.chain, self.anchors, made.signer, max_entries=bounds.entries, max_anchors=bounds.anchors
        )

    def at(self, where: str) -> int:
        """A place in the first part, at either side of the border behind it, or in the last part."""
        border = self.bounds.border
        return {"first": 7, "before the border": border, "behind the border": border + 1, "last": SIZE - 5}[where]


@pytest.fixture(scope="module")
async def made() -> Made:
    rows, signer = chained(SIZE), await signing()
    return Made(rows, await anchors_of(signer, rows, EVERY), signer)


@pytest.fixture(params=list(BOUNDS))
def under_test(request: pytest.FixtureRequest, made: Made) -> UnderTest:
    return UnderTest(made, BOUNDS[request.param])


async def test_a_long_chain_is_verified_whole_in_bounded_calls(under_test: UnderTest) -> None:
    bounds, anchors = under_test.bounds, under_test.anchors
    from_sequence, previous, entries, reads, parts = 0, b"", 0, 0, 0
    while True:
        anchors.clear()
        report = await under_test.audit.verify(CHAIN, from_sequence, previous)
        assert (report.faults, report.first_sequence) == ([], entries + 1)
        assert report.entries <= bounds.entries
        assert anchors.reads <= bounds.anchors
        assert anchors.most <= ANCHOR_READS
        assert anchors.listed <= bounds.anchors + 2
        entries, reads, parts = entries + report.entries, reads + anchors.reads, parts + 1
        if not report.next_sequence:
            break
        assert (report.next_sequence, report.last_sequence) == (entries + 1, entries)
        from_sequence, previous = report.next_sequence, report.last_digest
    assert (entries, reads, report.last_sequence) == (SIZE, SIZE // EVERY, SIZE)
    assert parts >= 4
    assert report.anchor is not None
    assert report.anchor.position == under_test.chain.rows[-1].position


async def test_anchors_are_read_some_at_once(under_test: UnderTest) -> None:
    await under_test.audit.verify(CHAIN)
    assert 1 < under_test.anchors.most <= ANCHOR_READS


async def test_digests_are_computed_beside_the_loop(under_test: UnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = set()

    def recorded(previous: bytes, entry: object) -> bytes:
        threads.add(threading.get_ident())
        return entry_digest(previous, entry)  # type: ignore[arg-type]

    monkeypatch.setattr(audit_check, "entry_digest", recorded)
    await under_test.audit.verify(CHAIN)
    assert threads
    assert threading.get_ident() not in threads


def change(chain: MemoryChain, at: int) -> str:
    row = chain.at(at)
    chain.take(at)
    chain.put(replace(row, entry=replace(row.entry, audit_id="another")))
    return "CHANGED"


def remove(chain: MemoryChain, at: int) -> str:
    chain.take(at)
    return "MISSING"


def swap(chain: MemoryChain, at: int) -> str:
    one, other = chain.at(at), chain.at(at + 1)
    chain.take(at, at + 1)
    chain.put(
        replace(one, entry=replace(one.entry, sequence=at + 1)), replace(other, entry=replace(other.entry, sequence=at))
    )
    return "BROKEN_LINK"


def duplicate(chain: MemoryChain, at: int) -> str:
    chain.put(later(chain.at(at)))
    return "BROKEN_LINK"


def truncate(chain: MemoryChain, at: int) -> str:
    chain.cut(at)
    return "TRUNCATED"


def truncate_and_fix_the_head(chain: MemoryChain, at: int) -> str:
    chain.cut(at)
    chain.head = chain.rows[-1].position
    return "TRUNCATED"


WHERE = ["first", "before the border", "behind the border", "last"]


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("damage", [change, remove, swap, duplicate, truncate, truncate_and_fix_the_head])
async def test_damage_is_found_at_its_place(
    under_test: UnderTest, damage: Callable[[MemoryChain, int], str], where: str
) -> None:
    at = under_test.at(where)
    kind = damage(under_test.chain, at)
    assert (at, kind) in faults(await verified(under_test.audit))


@pytest.mark.parametrize("where", WHERE)
async def test_a_history_that_was_written_anew_does_not_fit_the_next_anchor(under_test: UnderTest, where: str) -> None:
    at, chain = under_test.at(where), under_test.chain
    chain.cut(at)
    chain.put(*chained(SIZE - at + 1, chain.rows[-1].position, subject="eve"))
    chain.head = chain.rows[-1].position
    found = faults(await verified(under_test.audit))
    assert {kind for _, kind in found} == {"ANCHOR_MISMATCH"}
    assert min(found)[0] == -(-at // EVERY) * EVERY


@pytest.mark.parametrize("where", WHERE)
async def test_an_anchor_that_is_not_ours_is_found(under_test: UnderTest, where: str) -> None:
    place = -(-under_test.at(where) // EVERY) * EVERY
    kept = under_test.anchors.kept
    genuine = kept[place]
    assert genuine is not None
    for forged in (None, replace(genuine, signature=bytes(64)), kept[50]):
        kept[place] = forged
        assert faults(await verified(under_test.audit)) == {(place, "ANCHOR_FORGED")}


async def test_the_newest_anchor_is_missed_by_the_last_part_alone(under_test: UnderTest) -> None:
    under_test.chain.put(*chained(600, under_test.chain.rows[-1].position))  # the last part may have no anchor
    under_test.chain.head = under_test.chain.rows[-1].position
    assert faults(await verified(under_test.audit)) == set()
    del under_test.anchors.kept[SIZE]
    *others, end = await verified(under_test.audit)
    assert (faults(others), faults([end])) == (set(), {(SIZE, "ANCHOR_MISMATCH")})


async def test_a_gap_longer_than_a_part_is_told_and_passed(under_test: UnderTest) -> None:
    under_test.chain.take(*range(300, 1_800))
    reports = await verified(under_test.audit)
    found = faults(reports)
    assert {kind for _, kind in found} == {"MISSING"}
    assert min(found)[0] == 300
    assert reports[-1].last_sequence == SIZE


async def test_many_entries_of_one_place_or_of_none_do_not_stop_the_parts(under_test: UnderTest) -> None:
    row = under_test.chain.at(20)
    none = [replace(row, entry=replace(row.entry, sequence=-number)) for number in range(6_000)]
    under_test.chain.put(*none)
    reports = await verified(under_test.audit)
    assert reports[0].faults
    assert max(report.entries for report in reports) <= under_test.bounds.entries
    assert sum(report.entries for report in reports) == SIZE


async def test_an_entry_far_behind_the_others_ends_the_chain(under_test: UnderTest) -> None:
    row = under_test.chain.rows[-1]
    under_test.chain.put(replace(row, entry=replace(row.entry, sequence=2**62)))
    found = faults(await verified(under_test.audit))
    assert {(SIZE + 1, "MISSING"), (2**62, "CHANGED"), (SIZE + 1, "BROKEN_LINK")} <= found


async def test_a_change_between_two_calls_does_not_follow_the_digest(under_test: UnderTest) -> None:
    report = await under_test.audit.verify(CHAIN)
    chain = under_test.chain
    chain.rows = chained(SIZE, EMPTY_CHAIN, subject="eve")
    chain.head = chain.rows[-1].position
    under_test.anchors.kept.clear()
    chain.made = 0
    found = await under_test.audit.verify(CHAIN, report.next_sequence, report.last_digest)
    assert faults([found]) == {(report.next_sequence, "BROKEN_LINK")}
