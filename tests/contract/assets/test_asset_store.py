"""What every store of assets promises: rows in memory and Postgres, bytes in memory and the blob store."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mesh.errors import Reason, SomaError
from mesh.ids import SystemIds
from mesh.stores.postgres import SYSTEM
from svc_assets.adapters.postgres import PostgresAssetStore
from svc_assets.domain.model import ListQuery, Origin, Status, UploadMetadata
from tests.contract.assets.conftest import BACKENDS
from tests.contract.assets.store import LARGE, MAX, Store, chunks
from tests.in_memory.assets import MemoryBlobStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

every_store = pytest.mark.parametrize("store", BACKENDS, indirect=True)


@every_store
async def test_bytes_come_back_as_they_were_stored(store: Store) -> None:
    asset = await store.put(b"hello " * 500, filename="../notes/hello.txt", metadata={"a": 1})
    assert (asset.media_type, asset.filename, asset.status) == ("text/plain", "hello.txt", Status.READY)
    assert await store.read(asset) == b"hello " * 500
    assert await store.assets.get("acme", asset.asset_id) == asset


@every_store
async def test_a_part_can_be_read(store: Store) -> None:
    for body in (b"0123456789", b"0123456789" * 1000):
        asset = await store.put(body)
        assert await store.read(asset, 3, 4) == b"3456"
        assert await store.read(asset, 8) == body[8:]
        assert await store.read(asset, len(body)) == b""


@every_store
async def test_the_same_bytes_are_one_asset_held_by_two(store: Store) -> None:
    first = await store.put(b"same")
    second = await store.put(b"same", origin=Origin(job_id="j1"))
    assert (second.asset_id, second.deduplicated, second.reference_count) == (first.asset_id, True, 2)


@every_store
async def test_tenants_never_share_bytes(store: Store) -> None:
    ours = await store.put(b"same")
    theirs = await store.put(b"same", tenant="umbrella")
    assert ours.asset_id != theirs.asset_id
    with pytest.raises(SomaError) as hidden:
        await store.assets.get("umbrella", ours.asset_id)
    assert hidden.value.reason is Reason.NOT_FOUND


@every_store
async def test_a_repeated_request_answers_with_the_first_asset(store: Store) -> None:
    first = await store.put(b"body", request_id="r1")
    assert (await store.put(b"body", request_id="r1")).asset_id == first.asset_id
    with pytest.raises(SomaError) as refused:
        await store.put(b"other", request_id="r1")
    assert refused.value.reason is Reason.IDEMPOTENCY_MISMATCH


@every_store
async def test_many_at_once_with_the_same_bytes_make_one_asset(store: Store) -> None:
    for body in (b"race", LARGE):
        made = await asyncio.gather(*(store.put(body, origin=Origin(job_id=f"j{n}")) for n in range(8)))
        assert len({asset.asset_id for asset in made}) == 1
        assert (await store.assets.get("acme", made[0].asset_id)).reference_count == 8
        assert await store.read(made[0]) == body


@every_store
async def test_bytes_stay_until_the_last_holder_gives_them_up(store: Store) -> None:
    asset = await store.put(b"shared", origin=Origin(job_id="j1"))
    await store.put(b"shared", origin=Origin(job_id="j2"))
    for _ in range(2):
        left = await store.delete(asset, job_id="j1")
        assert (left.status, left.reference_count) == (Status.READY, 1)
    gone = await store.delete(asset, job_id="j2")
    assert gone.status is Status.TOMBSTONED
    with pytest.raises(SomaError) as erased:
        await store.read(asset)
    assert erased.value.reason is Reason.FAILED_PRECONDITION


@every_store
async def test_erasing_for_everybody_is_idempotent_and_the_bytes_may_come_again(store: Store) -> None:
    asset = await store.put(b"once")
    for _ in range(2):
        assert (await store.assets.erase("acme", asset.asset_id, "asked for")).status is Status.TOMBSTONED
    again = await store.put(b"once")
    assert again.asset_id != asset.asset_id
    assert await store.read(again) == b"once"


@every_store
async def test_erasing_what_is_not_there_is_not_found(store: Store) -> None:
    with pytest.raises(SomaError) as hidden:
        await store.assets.erase("acme", SystemIds().new(), "")
    assert hidden.value.reason is Reason.NOT_FOUND


@every_store
async def test_lists_are_newest_first_filtered_and_paged(store: Store) -> None:
    ids = SystemIds()
    ingest = store.ingest
    ingest._ids = ids
    made = [
        await ingest.store(
            "acme", "alice", UploadMetadata(asset_type=kind, origin=Origin(job_id="j1")), chunks(kind.encode())
        )
        for kind in ("one", "two", "three")
    ]
    found = await store.rows.list("acme", ListQuery(job_id="j1", limit=2))
    assert [asset.asset_id for asset in found] == [made[2].asset_id, made[1].asset_id]
    rest = await store.rows.list("acme", ListQuery(job_id="j1", limit=2, before_id=found[1].asset_id))
    assert [asset.asset_id for asset in rest] == [made[0].asset_id]
    assert [asset.asset_type for asset in await store.rows.list("acme", ListQuery(asset_type="two"))] == ["two"]
    assert list(await store.rows.list("umbrella", ListQuery())) == []


@every_store
async def test_what_a_job_gave_up_is_its_own_and_not_held_by_it(store: Store) -> None:
    given_up = await store.put(b"shared", origin=Origin(job_id="j1"))
    await store.put(b"shared", origin=Origin(job_id="j2"))
    held = await store.put(b"other", origin=Origin(job_id="j1"))
    await store.delete(given_up, job_id="j1")
    of_job, only_held = ListQuery(job_id="j1"), ListQuery(job_id="j1", only_held=True)
    assert {asset.asset_id for asset in await store.rows.list("acme", of_job)} == {given_up.asset_id, held.asset_id}
    assert [asset.asset_id for asset in await store.rows.list("acme", only_held)] == [held.asset_id]
    assert len(await store.rows.list("acme", ListQuery(only_held=True))) == 2


@every_store
async def test_a_refused_body_stores_nothing(store: Store) -> None:
    with pytest.raises(SomaError) as large:
        await store.put(b"x" * (MAX + 1))
    assert large.value.reason is Reason.PAYLOAD_TOO_LARGE
    eicar = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
    with pytest.raises(SomaError) as malware:
        await store.put(eicar)
    assert (malware.value.reason, "eicar" in malware.value.message) == (Reason.CONTENT_REJECTED, True)
    assert list(await store.rows.list("acme", ListQuery(include_tombstoned=True))) == []
    assert await store.left_behind() == (set(), [])


class BrokenBytes(MemoryBlobStore):
    """Fails half way."""

    async def put(self, path: str, body: AsyncIterator[bytes]) -> None:
        self._blobs[path] = b"half"
        raise SomaError(Reason.DEPENDENCY_UNAVAILABLE, "the blob store does not answer")


@every_store
async def test_an_upload_that_fails_half_way_leaves_nothing_readable(store: Store) -> None:
    with pytest.raises(SomaError, match="does not answer"):
        await replace(store, blobs=BrokenBytes()).put(LARGE)
    assert list(await store.rows.list("acme", ListQuery())) == []
    assert await store.read(await store.put(LARGE)) == LARGE


@every_store
async def test_changed_bytes_are_found_when_they_are_read(store: Store) -> None:
    asset = await store.put(LARGE)
    await store.blobs.put(asset.storage_path, chunks(LARGE.swapcase()))
    with pytest.raises(SomaError) as loss:
        await store.read(asset)
    assert loss.value.reason is Reason.DATA_LOSS


async def test_events_leave_with_the_state(store: Store) -> None:
    asset = await store.put(b"told")
    await store.put(b"told")
    await store.delete(asset)
    rows = store.rows
    assert isinstance(rows, PostgresAssetStore)
    async with rows._postgres.transaction(SYSTEM) as connection:
        types = [row["type"] for row in await connection.fetch("SELECT type FROM outbox ORDER BY id")]
    assert [name.rpartition(".")[2] for name in types] == [
        "AssetStored", "AuditRecorded", "AssetTombstoned", "AuditRecorded",
    ]  # fmt: skip


@every_store
async def test_the_same_bytes_may_come_again_from_the_same_holder(store: Store) -> None:
    """Regression: the second upload of the same file failed on its event."""
    first = await store.put(b"again", origin=Origin(job_id="j1"))
    second = await store.put(b"again", origin=Origin(job_id="j1"))
    assert (second.asset_id, second.reference_count) == (first.asset_id, 1)


async def test_text_that_no_column_can_hold_is_refused(store: Store) -> None:
    """Regression: U+0000 came out as an internal error."""
    with pytest.raises(SomaError) as refused:
        await store.put(b"body", request_id="a\x00b")
    assert refused.value.reason is Reason.INVALID_ARGUMENT
