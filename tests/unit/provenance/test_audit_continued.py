"""A pass over a chain goes on from the digest that it is given, and trusts none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from svc_provenance.app.audit import Audit
from svc_provenance.domain.audit import ROOT_DIGEST, Statement
from tests.unit.provenance.audit_chains import (
    CHAIN,
    MemoryAnchorStore,
    MemoryChain,
    anchors_of,
    chained,
    faults,
    signing,
    verified,
)

if TYPE_CHECKING:
    from svc_provenance.adapters.audit_anchors import TransitStatementSigner

SIZE = 30
WRONG = bytes(31) + b"\x01"


class UnderTest:
    """A chain of 30 entries with an anchor of each fifth."""

    def __init__(self, chain: MemoryChain, anchors: MemoryAnchorStore, signer: TransitStatementSigner) -> None:
        self.chain = chain
        self.anchors = anchors
        self.signer = signer
        self.audit = Audit(chain, anchors, signer, max_entries=10, max_anchors=10)

    async def drop_up_to(self, place: int) -> None:
        """Drops old entries as retention does."""
        self.chain.start = await self.signer.sign(Statement.START, CHAIN, self.chain.at(place).position)
        self.chain.take(*range(1, place + 1))


@pytest.fixture
async def under_test() -> UnderTest:
    rows, signer = chained(SIZE), await signing()
    return UnderTest(MemoryChain(rows, SIZE), MemoryAnchorStore(await anchors_of(signer, rows, 5)), signer)


async def refused(under_test: UnderTest, from_sequence: int, previous: bytes) -> str:
    """What an error names."""
    with pytest.raises(SomaError) as caught:
        await under_test.audit.verify(CHAIN, from_sequence, previous)
    assert caught.value.reason is Reason.INVALID_ARGUMENT
    return caught.value.fields[0].field


@pytest.mark.parametrize("place", [1, 2, 11, 30, 31])
async def test_a_wrong_digest_is_a_fault_and_the_right_one_is_none(under_test: UnderTest, place: int) -> None:
    right = under_test.chain.at(place - 1).digest if place > 1 else ROOT_DIGEST
    assert faults(await verified(under_test.audit, place, right)) == set()
    (wrong, *_) = await verified(under_test.audit, place, WRONG)
    assert {kind for _, kind in faults([wrong])} == {"BROKEN_LINK"}
    assert wrong.faults[0].sequence in {place, place - 1}


async def test_without_a_digest_the_entry_before_is_trusted(under_test: UnderTest) -> None:
    under_test.chain.take(10)
    reports = await verified(under_test.audit, 11)
    assert (faults(reports), reports[0].first_sequence) == (set(), 11)


async def test_what_was_added_is_verified_from_the_end_of_an_earlier_pass(under_test: UnderTest) -> None:
    end = (await verified(under_test.audit))[-1]
    nothing_new = await under_test.audit.verify(CHAIN, end.last_sequence + 1, end.last_digest)
    assert (nothing_new.entries, nothing_new.faults, nothing_new.last_digest) == (0, [], end.last_digest)
    added = chained(3, under_test.chain.rows[-1].position)
    under_test.chain.put(*added)
    under_test.chain.head = added[-1].position
    new = await under_test.audit.verify(CHAIN, end.last_sequence + 1, end.last_digest)
    assert (new.entries, new.faults, new.last_sequence) == (3, [], SIZE + 3)


async def test_a_place_behind_the_end_is_refused(under_test: UnderTest) -> None:
    assert await refused(under_test, SIZE + 1, b"") == "from_sequence"
    assert await refused(under_test, SIZE + 2, WRONG) == "from_sequence"


async def test_a_digest_without_its_place_is_refused(under_test: UnderTest) -> None:
    assert await refused(under_test, 0, ROOT_DIGEST) == "previous_digest"


async def test_a_digest_of_a_dropped_entry_is_refused_but_for_the_last(under_test: UnderTest) -> None:
    digests = {place: under_test.chain.at(place).digest for place in (11, 12)}
    await under_test.drop_up_to(12)
    assert await refused(under_test, 12, digests[11]) == "previous_digest"
    assert faults(await verified(under_test.audit, 13, digests[12])) == set()
    assert faults(await verified(under_test.audit, 13, WRONG)) == {(13, "BROKEN_LINK")}


async def test_anchors_of_dropped_entries_are_not_read(under_test: UnderTest) -> None:
    await under_test.drop_up_to(12)
    reports = await verified(under_test.audit)
    assert (faults(reports), reports[0].first_sequence, reports[-1].last_sequence) == (set(), 13, SIZE)
    assert under_test.anchors.reads == 4


async def test_a_month_that_is_dropped_during_a_call_is_no_fault(under_test: UnderTest) -> None:
    listed = under_test.anchors.sequences

    async def dropping(chain: str, first: int, limit: int) -> object:
        if under_test.chain.start is None:
            await under_test.drop_up_to(7)
        return await listed(chain, first, limit)

    under_test.anchors.sequences = dropping  # type: ignore[method-assign,assignment]
    report = await under_test.audit.verify(CHAIN)
    assert (report.faults, report.first_sequence) == ([], 8)


async def test_a_head_that_was_set_back_or_removed_is_found_when_nothing_is_new(under_test: UnderTest) -> None:
    end = under_test.chain.rows[-1].position
    for head in (None, replace(end, sequence=29), replace(end, digest=WRONG)):
        under_test.chain.head = head
        report = await under_test.audit.verify(CHAIN, SIZE + 1, end.digest)
        assert {kind for _, kind in faults([report])} == {"BROKEN_LINK"}
