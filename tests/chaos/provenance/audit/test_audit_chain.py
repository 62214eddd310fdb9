"""Invariant 4: the audit chain is unbroken and append-only.

Eight append at once; then one with every power over the database, but not over the signing key, changes the chain in
every way there is. Each change is found by a pass over the chain, and undone before the next.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

import asyncpg
import pytest

from mesh.ids import rng as seeded_rng
from mesh.stores.postgres import SYSTEM
from svc_provenance.adapters.audit_anchors import BlobAnchorStore
from svc_provenance.adapters.postgres.audit import PostgresAuditStore
from svc_provenance.app.audit import Audit
from svc_provenance.app.audit_verification import MAX_ANCHORS, MAX_ENTRIES
from svc_provenance.domain import audit as domain
from tests.chaos.provenance.audit.mutations import MUTATIONS
from tests.chaos.provenance.audit.under_test import TENANT, AuditUnderTest, under_test

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

    from soma_local.testing.engines import Databases
    from svc_provenance.domain.audit import Entry
    from tests.chaos.provenance.audit.mutations import Mutation
    from tests.conftest import Database

SEED = int(os.environ.get("SOMA_SEED", "20261124"))
APPENDERS = 8


@pytest.fixture
async def place(databases: Databases, database: Database, tmp_path: Path) -> AsyncIterator[AuditUnderTest]:
    async with under_test(databases, await database("provenance", pool_max=APPENDERS), tmp_path) as opened:
        yield opened


async def grown(place: AuditUnderTest, each: int) -> None:
    """A chain with three anchors and some entries behind the last."""
    for start in range(3):
        await place.race(APPENDERS, each, start * APPENDERS * each)
        await place.anchor()
    await place.race(APPENDERS, 1, 3 * APPENDERS * each)


class MissedError(AssertionError):
    """A change was not found."""


async def challenge(
    place: AuditUnderTest, audit: Audit, mutations: Sequence[Mutation], random_source: random.Random
) -> Counter[str]:
    """Makes each change, expects it to be found, and undoes it; gives the kinds of faults found, counted."""
    found: Counter[str] = Counter()
    await place.back_up()
    assert await place.kinds(audit) == set()
    for name, mutate in mutations:
        what = await mutate(place, random_source)
        kinds = await place.kinds(audit)
        if not kinds:
            raise MissedError(f"{name}: {what}")
        found.update(kinds)
        await place.restore()
    assert await place.kinds(audit) == set()
    return found


def drawn(random_source: random.Random, count: int) -> list[Mutation]:
    """Every kind of change as often as the others, in any order."""
    chosen = [MUTATIONS[number % len(MUTATIONS)] for number in range(count)]
    random_source.shuffle(chosen)
    return chosen


@pytest.mark.parametrize("part", [(MAX_ENTRIES, MAX_ANCHORS), (7, 100), (100, 1)], ids=["whole", "entries", "anchors"])
@pytest.mark.parametrize(
    ("each", "mutations"),
    [(3, 64), pytest.param(12, 1_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])],
    ids=["short", "full"],
)
async def test_every_change_of_a_chain_is_found(
    place: AuditUnderTest, each: int, mutations: int, part: tuple[int, int]
) -> None:
    random_source = seeded_rng(SEED)
    await grown(place, each)
    found = await challenge(place, place.in_parts(*part), drawn(random_source, mutations), random_source)
    assert set(found) == {"CHANGED", "MISSING", "BROKEN_LINK", "TRUNCATED", "ANCHOR_MISMATCH", "ANCHOR_FORGED"}
    print(f"seed {SEED}: {mutations} changes of {len(MUTATIONS)} kinds, all found: {dict(found)}")  # noqa: T201 - to be repeated


async def test_eight_appenders_leave_one_unbroken_chain(place: AuditUnderTest) -> None:
    await place.race(APPENDERS, 25)
    report = await place.audit.verify(TENANT)
    assert (report.faults, report.entries, report.first_sequence, report.last_sequence) == ([], 200, 1, 200)
    rows = await place.owner.fetch(
        "SELECT count(DISTINCT audit_id) AS ids, count(DISTINCT reason) AS of FROM audit_events"
    )
    assert tuple(rows[0]) == (200, 200)


class BlindAnchors(BlobAnchorStore):
    """Sees no anchor."""

    async def sequences(self, chain: str, first: int, limit: int) -> Sequence[int]:
        return []


class UnanchoredStore(PostgresAuditStore):
    """Knows of no anchor."""

    async def newest_anchored(self, chain: str) -> int:
        return 0


async def test_the_check_catches_a_pass_that_ignores_anchors(place: AuditUnderTest) -> None:
    await grown(place, 2)
    blind = Audit(UnanchoredStore(place.postgres), BlindAnchors(place.anchors._blobs), place.signer)
    with pytest.raises(MissedError):
        await challenge(place, blind, drawn(seeded_rng(SEED), len(MUTATIONS)), seeded_rng(SEED))


async def test_the_check_catches_a_digest_that_leaves_out_a_field(
    place: AuditUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: Callable[[Entry], Mapping[str, str | int]] = domain.entry_members

    def leaky(entry: Entry) -> Mapping[str, str | int]:
        return {name: value for name, value in whole(entry).items() if name != "reason"}

    monkeypatch.setattr(domain, "entry_members", leaky)
    await grown(place, 2)
    with pytest.raises(MissedError, match="change reason"):
        await challenge(place, place.audit, drawn(seeded_rng(SEED), len(MUTATIONS)), seeded_rng(SEED))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET reason = 'x'",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
        "DELETE FROM audit_heads",
        "INSERT INTO audit_starts VALUES ('acme', 1, '', 1, '', now())",
        "UPDATE audit_events_default SET reason = 'x'",
        "ALTER TABLE audit_events DISABLE TRIGGER ALL",
        "DROP TABLE audit_events",
    ],
)
async def test_the_contexts_role_cannot_change_what_is_kept(place: AuditUnderTest, statement: str) -> None:
    await place.race(1, 3)
    async with place.postgres.transaction(SYSTEM) as connection:
        await connection.execute("SET LOCAL soma.audit_upkeep = 'moving'")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    assert (await place.audit.verify(TENANT)).entries == 3


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_events SET reason = 'x'", "DELETE FROM audit_events", "TRUNCATE audit_events"]
)
async def test_a_trigger_stops_the_owner_as_well(place: AuditUnderTest, statement: str) -> None:
    await place.race(1, 3)
    await place.owner.execute("SET session_replication_role = origin")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await place.owner.execute(statement)
