"""Anchors and statements: when they are made, and by whom they are signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mesh.secrets import KeyKind, Vault, VaultTransit
from svc_provenance.adapters.audit_anchors import TransitStatementSigner
from svc_provenance.app.anchoring import Anchorer, AnchorSchedule
from svc_provenance.context import AUDIT_KEY
from svc_provenance.domain.audit import ChainPosition, Statement
from tests.chaos.provenance.audit.under_test import TENANT, AuditUnderTest

if TYPE_CHECKING:
    from mesh.settings import VaultSettings
    from svc_provenance.domain.audit import SignedStatement


async def test_anchors_are_made_after_so_many_entries_or_so_long(place: AuditUnderTest) -> None:
    hasty = Anchorer(place.store, place.anchors, place.signer, AnchorSchedule(3, 3_600, 1), place.clock)
    for size in (1, 2, 1):  # the first at once, then three entries
        await place.race(1, size)
        await hasty.anchor_due_chains()
    assert await place.anchored_places() == [1, 4]
    await place.race(1, 1)
    await hasty.anchor_due_chains()
    assert await place.anchored_places() == [1, 4]
    await Anchorer(place.store, place.anchors, place.signer, AnchorSchedule(3, 0, 1), place.clock).anchor_due_chains()
    assert await place.anchored_places() == [1, 4, 5]


async def test_chains_stay_due_while_their_anchors_cannot_be_signed(place: AuditUnderTest) -> None:
    class FailingSigner:
        async def sign(self, *_: object) -> SignedStatement:
            raise OSError("the secret store is away")

    await place.race(1, 2)
    due: list[int] = []
    with pytest.raises(OSError, match="away"):
        await Anchorer(
            place.store, place.anchors, FailingSigner(), AnchorSchedule(1, 1, 1), place.clock, on_due=due.append
        ).anchor_due_chains()
    assert due == [1]
    await Anchorer(
        place.store, place.anchors, place.signer, AnchorSchedule(1, 1, 1), place.clock, on_due=due.append
    ).anchor_due_chains()
    assert due == [1, 1, 0]


async def test_a_look_reads_the_chains_alone_that_grew_since_their_anchor(place: AuditUnderTest) -> None:
    async def looked_at() -> int:
        await place.store.chains_due(1, place.clock.now())
        return int(await place.owner.fetchval("SELECT count(*) FROM audit_heads WHERE NOT anchored"))

    await place.race(1, 2)
    assert await looked_at() == 1
    await place.anchor()
    assert await looked_at() == 0
    await place.race(1, 1)
    assert list(await place.store.chains_due(1, place.clock.now())) == [TENANT]
    assert await looked_at() == 1


def anchor_files(place: AuditUnderTest) -> list[bytes]:
    return [file.read_bytes() for file in place.folder.rglob("*.json")]


async def test_an_anchor_is_written_once(place: AuditUnderTest) -> None:
    await place.race(1, 2)
    await place.anchor()
    conflicts: list[int] = []
    anchorer = Anchorer(
        place.store,
        place.anchors,
        place.signer,
        AnchorSchedule(1, 1, 1),
        place.clock,
        on_conflict=lambda: conflicts.append(1),
    )
    before = anchor_files(place)
    await anchorer.anchor_chain(TENANT, ChainPosition(2, bytes(32)))
    assert conflicts == [1]
    assert anchor_files(place) == before


async def test_statements_are_signed_by_the_secret_store(place: AuditUnderTest, vault_settings: VaultSettings) -> None:
    async with Vault.open(vault_settings) as vault:
        transit = VaultTransit(vault, vault_settings.transit_mount)
        await transit.create_key(AUDIT_KEY, KeyKind.SIGNING)
        signer = TransitStatementSigner(transit, place.clock)
        old = await signer.sign(Statement.ANCHOR, TENANT, ChainPosition(1, bytes(32)))
        await transit.rotate(AUDIT_KEY)
        new = await signer.sign(Statement.ANCHOR, TENANT, ChainPosition(1, bytes(32)))
        keys = await signer.public_keys()
    assert (old.key_version, new.key_version) == (1, 2)
    assert [signer.is_genuine(Statement.ANCHOR, signed, keys) for signed in (old, new)] == [True, True]
    assert not signer.is_genuine(Statement.START, new, keys)
