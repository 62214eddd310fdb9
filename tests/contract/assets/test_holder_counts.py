"""The number of holders that an asset's row has is how many there are, whatever happened in whatever order."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import asyncpg
import pytest

from mesh.errors import Reason, SomaError
from mesh.ids import SystemIds
from mesh.settings import BlobSettings
from mesh.stores import blobs as blob_store
from mesh.stores.postgres import SYSTEM, Postgres
from svc_assets.domain.model import SUBJECT_PREFIX, Asset, Hold, ReleaseRequest, Status
from tests.contract.assets.conftest import in_postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Sequence

    from soma_local.testing.engines import Databases
    from tests.conftest import Database
    from tests.contract.assets.store import Store

PAGE = Path(__file__).parents[3] / "docs/operations/asset_holders.md"
PROCEDURE = re.findall(
    r"(?:[^;$]|\$\$.*?\$\$)+;",
    "".join(re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)),
    re.DOTALL,
)
TENANT = "acme"
BODIES = ("one", "two", "three")
SUBJECTS = ("alice", "bob")
JOBS = ("j1", "j2", "j3", "j4")
_ROWS = """
SELECT a.asset_id::text AS asset_id, a.status, a.holders,
       (SELECT count(*) FROM asset_holders h WHERE h.asset_id = a.asset_id) AS counted
FROM multimodal_assets a WHERE a.status IN ('ready', 'tombstoned')
"""


@dataclass
class Cluster:
    """The asset store in Postgres, and its database as the role sees it that migrates."""

    postgres: Postgres
    store: Store
    owner: asyncpg.Connection

    async def count_older(self) -> None:
        """Counts the holders of rows from before they were, as the page says."""
        for statement in PROCEDURE:
            await self.owner.execute(statement.replace("(100)", "(2)"))


@pytest.fixture
async def cluster(database: Database, databases: Databases, tmp_path: Path) -> AsyncIterator[Cluster]:
    settings = await database("assets")
    owner = await asyncpg.connect(databases.owner_dsn(settings))
    async with Postgres.open(settings) as postgres, blob_store.open(BlobSettings(url="memory:///")) as blobs:
        yield Cluster(postgres, in_postgres(postgres, blobs, tmp_path), owner)
    await owner.close()


@dataclass
class Callers:
    """Does at random what callers do with a few bodies."""

    store: Store
    draw: Random

    def draft(self, *, is_inline: bool) -> Asset:
        asset_id, body, subject = SystemIds().new(), self.draw.choice(BODIES), self.draw.choice(SUBJECTS)
        return Asset(
            asset_id, TENANT, "text", "txt", "text/plain", "a.txt", 3, body,
            self.draw.choice(("public", "confidential")), Status.PENDING, "" if is_inline else f"acme/{asset_id}",
            subject, self.store.clock.now(),
        )  # fmt: skip

    def hold(self, subject: str) -> Hold:
        return Hold(self.draw.choice((SUBJECT_PREFIX + subject, *JOBS)), subject)

    async def in_a_row(self) -> None:
        draft = self.draft(is_inline=True)
        await self.store.rows.add_ready(draft, self.hold(draft.created_by), "", b"abc")

    async def in_the_blob_store(self) -> None:
        draft = self.draft(is_inline=False)
        hold, now = self.hold(draft.created_by), self.store.clock.now()
        await self.store.rows.add_pending(draft, now)
        await self.store.rows.commit(draft, hold, "", now)

    async def join(self) -> None:
        draft = self.draft(is_inline=False)
        await self.store.rows.hold_existing(draft, self.hold(draft.created_by), "")

    async def give_up(self, known: Sequence[str]) -> None:
        if known:
            release = ReleaseRequest(self.draw.choice(SUBJECTS), self.draw.choice(("", *JOBS)), by_service=True)
            await self.store.rows.release(TENANT, self.draw.choice(known), release, "", self.store.clock.now())

    async def erase(self, known: Sequence[str]) -> None:
        if known:
            await self.store.rows.erase(TENANT, self.draw.choice(known), "", self.store.clock.now())

    def action(self, known: Sequence[str]) -> Awaitable[None]:
        drawn = self.draw.random()
        if drawn < 0.04:
            return self.erase(known)
        if drawn < 0.45:
            return self.give_up(known)
        return self.draw.choice((self.in_a_row, self.in_the_blob_store, self.join))()


async def checked(cluster: Cluster) -> list[str]:
    """Compares every row's number with its holders; gives the ids."""
    async with cluster.postgres.transaction(SYSTEM) as connection:
        rows = await connection.fetch(_ROWS)
    for row in rows:
        assert row["holders"] == row["counted"], dict(row)
        assert (row["status"] == "ready") == (row["counted"] > 0), dict(row)
        shown = await cluster.store.rows.get(TENANT, row["asset_id"])
        assert shown is not None
        assert shown.reference_count == row["counted"]
    return [row["asset_id"] for row in rows]


@pytest.mark.parametrize("at_once", [1, 8])
@pytest.mark.parametrize("seed", range(4))
async def test_the_number_of_holders_is_exact(cluster: Cluster, at_once: int, seed: int) -> None:
    callers = Callers(cluster.store, Random(seed))
    known: list[str] = []
    for _ in range(96 // at_once):
        ends = await asyncio.gather(*(callers.action(known) for _ in range(at_once)), return_exceptions=True)
        failures = [end for end in ends if isinstance(end, BaseException)]
        assert all(isinstance(each, SomaError) and each.reason is Reason.CONFLICT for each in failures), failures
        known = await checked(cluster)
    assert known


@pytest.mark.parametrize("seed", range(4))
async def test_rows_from_before_are_counted_when_their_holders_change_or_by_the_procedure(
    cluster: Cluster, seed: int
) -> None:
    callers = Callers(cluster.store, Random(seed))
    for _ in range(12):
        await callers.in_a_row()
    known = await checked(cluster)
    before = {key: await cluster.store.rows.get(TENANT, key) for key in known}
    async with cluster.postgres.transaction(SYSTEM) as connection:
        await connection.execute("UPDATE multimodal_assets SET holders = NULL")
    assert {key: await cluster.store.rows.get(TENANT, key) for key in known} == before
    actions = [callers.action(known) for _ in range(8)]
    await asyncio.gather(cluster.count_older(), *actions)
    await checked(cluster)
