"""What every store of assets promises: rows in memory and Postgres, bytes in memory and the blob store."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.events.outbox import Outbox
from mesh.ids import SystemIds
from mesh.settings import BlobSettings
from mesh.stores import blobs as blob_store
from mesh.stores.postgres import SYSTEM, Postgres
from mesh.testing import FakeClock
from mesh.testing.audit import auditor
from soma.events.v1.audit_pb2 import AuditRecorded
from svc_assets.adapters.blobs import StoredBytes
from svc_assets.adapters.inspect import LocalInspector
from svc_assets.adapters.memory import MemoryBytes, MemoryRows
from svc_assets.adapters.postgres import PostgresRows
from svc_assets.adapters.spool import FileSpooler
from svc_assets.app import Assets, Ingest, Reconciler
from svc_assets.domain.model import Declared, Listing, Origin, Status
from svc_assets.rpc import AssetFacts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from mesh.settings import PostgresSettings
    from svc_assets.domain.model import Asset
    from svc_assets.domain.ports import Bytes, Rows

MAX = 100_000


@dataclass
class Store:
    rows: Rows
    blobs: Bytes
    clock: FakeClock
    spool: Path

    @property
    def ingest(self) -> Ingest:
        return Ingest(
            rows=self.rows,
            blobs=self.blobs,
            spooler=FileSpooler(self.spool),
            inspector=LocalInspector(),
            clock=self.clock,
            ids=SystemIds(),
            max_bytes=MAX,
        )

    @property
    def assets(self) -> Assets:
        return Assets(self.rows, self.blobs, self.clock)

    async def put(self, body: bytes, tenant: str = "acme", **declared: object) -> Asset:
        return await self.ingest.store(tenant, "alice", Declared(**declared), pieces(body))  # type: ignore[arg-type]

    async def read(self, asset: Asset, offset: int = 0, limit: int = 0) -> bytes:
        _, body = await self.assets.open(asset.tenant_id, asset.asset_id, offset, limit)
        return b"".join([piece async for piece in body])


async def pieces(body: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.fixture
async def postgres_store(
    database: Callable[[str], Awaitable[PostgresSettings]], tmp_path: Path
) -> AsyncIterator[Store]:
    settings = BlobSettings(url=(tmp_path / "blobs").as_uri())
    async with Postgres.open(await database("assets")) as postgres, blob_store.open(settings) as blobs:
        rows = PostgresRows(postgres, Outbox(), auditor("assets", AuditRecorded), AssetFacts(SystemIds()))
        yield Store(rows, StoredBytes(blobs), FakeClock(), tmp_path)


@pytest.fixture
def memory_store(tmp_path: Path) -> Store:
    return Store(MemoryRows(), MemoryBytes(), FakeClock(), tmp_path)


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    found: Store = request.getfixturevalue(f"{request.param}_store")
    return found


async def test_bytes_come_back_as_they_were_stored(store: Store) -> None:
    asset = await store.put(b"hello " * 500, filename="../notes/hello.txt", metadata={"a": 1})
    assert (asset.media_type, asset.filename, asset.status) == ("text/plain", "hello.txt", Status.READY)
    assert await store.read(asset) == b"hello " * 500
    assert await store.assets.get("acme", asset.asset_id) == asset


async def test_a_part_can_be_read(store: Store) -> None:
    asset = await store.put(b"0123456789")
    assert await store.read(asset, 3, 4) == b"3456"
    assert await store.read(asset, 10) == b""


async def test_the_same_bytes_are_one_asset_held_by_two(store: Store) -> None:
    first = await store.put(b"same")
    second = await store.put(b"same", origin=Origin(job_id="j1"))
    assert (second.asset_id, second.deduplicated, second.reference_count) == (first.asset_id, True, 2)


async def test_tenants_never_share_bytes(store: Store) -> None:
    ours = await store.put(b"same")
    theirs = await store.put(b"same", tenant="umbrella")
    assert ours.asset_id != theirs.asset_id
    with pytest.raises(SomaError) as hidden:
        await store.assets.get("umbrella", ours.asset_id)
    assert hidden.value.reason is Reason.NOT_FOUND


async def test_a_repeated_request_answers_with_the_first_asset(store: Store) -> None:
    first = await store.put(b"body", request_id="r1")
    assert (await store.put(b"body", request_id="r1")).asset_id == first.asset_id
    with pytest.raises(SomaError) as refused:
        await store.put(b"other", request_id="r1")
    assert refused.value.reason is Reason.IDEMPOTENCY_MISMATCH


async def test_many_at_once_with_the_same_bytes_make_one_asset(store: Store) -> None:
    made = await asyncio.gather(*(store.put(b"race", origin=Origin(job_id=f"j{n}")) for n in range(8)))
    assert len({asset.asset_id for asset in made}) == 1
    assert (await store.assets.get("acme", made[0].asset_id)).reference_count == 8
    assert await store.read(made[0]) == b"race"


async def test_bytes_stay_until_the_last_holder_gives_them_up(store: Store) -> None:
    asset = await store.put(b"shared", origin=Origin(job_id="j1"))
    await store.put(b"shared", origin=Origin(job_id="j2"))
    for _ in range(2):
        left = await store.assets.delete("acme", asset.asset_id, "j1", "undone")
        assert (left.status, left.reference_count) == (Status.READY, 1)
    gone = await store.assets.delete("acme", asset.asset_id, "j2", "undone")
    assert gone.status is Status.TOMBSTONED
    with pytest.raises(SomaError) as erased:
        await store.read(asset)
    assert erased.value.reason is Reason.FAILED_PRECONDITION


async def test_erasing_for_everybody_is_idempotent_and_the_bytes_may_come_again(store: Store) -> None:
    asset = await store.put(b"once")
    for _ in range(2):
        assert (await store.assets.delete("acme", asset.asset_id, "", "asked for")).status is Status.TOMBSTONED
    again = await store.put(b"once")
    assert again.asset_id != asset.asset_id
    assert await store.read(again) == b"once"


async def test_erasing_what_is_not_there_is_not_found(store: Store) -> None:
    with pytest.raises(SomaError) as hidden:
        await store.assets.delete("acme", SystemIds().new(), "", "")
    assert hidden.value.reason is Reason.NOT_FOUND


async def test_lists_are_newest_first_filtered_and_paged(store: Store) -> None:
    ids = SystemIds()
    ingest = store.ingest
    ingest._ids = ids
    made = [
        await ingest.store(
            "acme", "alice", Declared(asset_type=kind, origin=Origin(job_id="j1")), pieces(kind.encode())
        )
        for kind in ("one", "two", "three")
    ]
    found = await store.rows.list("acme", Listing(job_id="j1", size=2))
    assert [asset.asset_id for asset in found] == [made[2].asset_id, made[1].asset_id]
    rest = await store.rows.list("acme", Listing(job_id="j1", size=2, before=found[1].asset_id))
    assert [asset.asset_id for asset in rest] == [made[0].asset_id]
    assert [asset.asset_type for asset in await store.rows.list("acme", Listing(asset_type="two"))] == ["two"]
    assert list(await store.rows.list("umbrella", Listing())) == []


async def test_a_refused_body_stores_nothing(store: Store) -> None:
    with pytest.raises(SomaError) as large:
        await store.put(b"x" * (MAX + 1))
    assert large.value.reason is Reason.PAYLOAD_TOO_LARGE
    eicar = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
    with pytest.raises(SomaError) as malware:
        await store.put(eicar)
    assert (malware.value.reason, "eicar" in malware.value.message) == (Reason.CONTENT_REJECTED, True)
    assert list(await store.rows.list("acme", Listing(include_tombstoned=True))) == []
    assert list(await store.rows.stale(store.clock.now() + timedelta(days=1))) == []


class BrokenBytes(MemoryBytes):
    """Fails half way."""

    async def put(self, path: str, body: AsyncIterator[bytes]) -> None:
        self._kept[path] = b"half"
        raise SomaError(Reason.DEPENDENCY_UNAVAILABLE, "the blob store does not answer")


async def test_an_upload_that_fails_half_way_leaves_nothing_readable(store: Store) -> None:
    with pytest.raises(SomaError):
        await replace(store, blobs=BrokenBytes()).put(b"body")
    assert list(await store.rows.list("acme", Listing())) == []
    assert await store.read(await store.put(b"body")) == b"body"


async def test_reconciliation_removes_what_a_crash_left(store: Store) -> None:
    ready = await store.put(b"kept")
    lost = replace(
        ready, asset_id=SystemIds().new(), checksum="c" * 64, storage_path="acme/00/lost", status=Status.PENDING
    )
    await store.rows.begin(lost)
    await store.blobs.put(lost.storage_path, pieces(b"lost"))
    reconciler = Reconciler(store.rows, store.blobs, store.clock, grace_s=60, interval_s=60)
    assert await reconciler.once() == 0
    await store.clock.advance(61)
    assert await reconciler.once() == 1
    with pytest.raises(SomaError):
        _ = [piece async for piece in store.blobs.get(lost.storage_path, 0, None)]
    assert await store.read(ready) == b"kept"


async def test_changed_bytes_are_found_when_they_are_read(store: Store) -> None:
    asset = await store.put(b"genuine")
    await store.blobs.put(asset.storage_path, pieces(b"tampers"))
    with pytest.raises(SomaError) as loss:
        await store.read(asset)
    assert loss.value.reason is Reason.DATA_LOSS


async def test_events_leave_with_the_state(postgres_store: Store) -> None:
    asset = await postgres_store.put(b"told")
    await postgres_store.put(b"told")
    await postgres_store.assets.delete("acme", asset.asset_id, "", "asked for")
    rows = postgres_store.rows
    assert isinstance(rows, PostgresRows)
    async with rows._postgres.transaction(SYSTEM) as connection:
        types = [row["type"] for row in await connection.fetch("SELECT type FROM outbox ORDER BY id")]
    assert [name.rpartition(".")[2] for name in types] == [
        "AssetStored", "AuditRecorded", "AssetTombstoned", "AuditRecorded",
    ]  # fmt: skip


async def test_the_same_bytes_may_come_again_from_the_same_holder(store: Store) -> None:
    """Regression: the second upload of the same file failed on its event."""
    first = await store.put(b"again", origin=Origin(job_id="j1"))
    second = await store.put(b"again", origin=Origin(job_id="j1"))
    assert (second.asset_id, second.reference_count) == (first.asset_id, 1)


async def test_text_that_no_column_can_hold_is_refused(postgres_store: Store) -> None:
    """Regression: U+0000 came out as an internal error."""
    with pytest.raises(SomaError) as refused:
        await postgres_store.put(b"body", request_id="a\x00b")
    assert refused.value.reason is Reason.INVALID_ARGUMENT
