"""The end of an export is the newest anchor, found without all of them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from svc_provenance.app.audit import Audit
from svc_provenance.app.audit_verification import MAX_ANCHORS
from svc_provenance.domain.audit import Statement
from tests.unit.provenance.audit_chains import CHAIN, MemoryAnchorStore, MemoryChain, chained, signing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from svc_provenance.adapters.audit_anchors import TransitStatementSigner
    from svc_provenance.domain.audit import ChainedEntry

SIZE = 4_000


@pytest.fixture(scope="module")
def rows() -> Sequence[ChainedEntry]:
    return chained(SIZE)


@pytest.fixture(scope="module")
async def signer() -> TransitStatementSigner:
    return await signing()


async def end_of(audit: Audit) -> int:
    """The place of the anchor that ends an export, 0 for none; it has all entries before."""
    lines = b"".join([piece async for piece in audit.export(CHAIN)]).splitlines()
    assert len(lines) == SIZE + 1
    anchor = json.loads(lines[-1])["anchor"]
    return anchor["sequence"] if anchor else 0


@pytest.mark.parametrize("newest", [SIZE, SIZE - MAX_ANCHORS, 1_500, 1, 0])
async def test_the_newest_anchor_is_found_wherever_it_is(
    rows: Sequence[ChainedEntry], signer: TransitStatementSigner, newest: int
) -> None:
    places = {1, newest} - {0} if newest else set()
    anchors = MemoryAnchorStore([await signer.sign(Statement.ANCHOR, CHAIN, rows[at - 1].position) for at in places])
    assert await end_of(Audit(MemoryChain(rows, newest), anchors, signer)) == newest
    assert anchors.reads <= 1
    assert anchors.listings <= 4


async def test_of_many_anchors_the_last_are_listed(
    rows: Sequence[ChainedEntry], signer: TransitStatementSigner
) -> None:
    anchors = MemoryAnchorStore([await signer.sign(Statement.ANCHOR, CHAIN, row.position) for row in rows])
    assert await end_of(Audit(MemoryChain(rows, 0), anchors, signer)) == SIZE
    assert (anchors.reads, anchors.listed) == (1, MAX_ANCHORS)


async def test_what_is_no_anchor_of_its_place_is_passed_over(
    rows: Sequence[ChainedEntry], signer: TransitStatementSigner
) -> None:
    genuine = await signer.sign(Statement.ANCHOR, CHAIN, rows[1_233].position)
    anchors = MemoryAnchorStore([genuine])
    anchors.kept |= dict.fromkeys(range(1_235, SIZE), replace(genuine, signature=bytes(64)))
    anchors.kept[SIZE] = genuine
    assert await end_of(Audit(MemoryChain(rows, SIZE), anchors, signer)) == 1_234
