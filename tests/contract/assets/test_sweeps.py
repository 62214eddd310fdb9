"""Bytes never outlive their rows, and no sweep takes the bytes of an upload that may still be committed."""

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import replace
from datetime import timedelta

import pytest

from mesh.errors import Reason, SomaError
from mesh.ids import SystemIds
from svc_assets.app.ingest import blob_path
from svc_assets.domain.model import Asset, Hold, ListQuery, Origin, Status
from tests.contract.assets.conftest import BACKENDS
from tests.contract.assets.faults import CrashError, Together, faulty, outage
from tests.contract.assets.store import DAY_S, GRACE_S, LARGE, Store, chunks
from tests.in_memory.assets import MemorySweepState

every_store = pytest.mark.parametrize("store", BACKENDS, indirect=True)
WHEN = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
HOLD = Hold("@alice", "alice")
GONE: tuple[set[str], list[Asset]] = (set(), [])


@every_store
@WHEN
@pytest.mark.parametrize(
    ("part", "method"), [("rows", "hold_existing"), ("rows", "add_pending"), ("blobs", "put"), ("rows", "commit")]
)
async def test_an_upload_that_crashes_anywhere_leaves_nothing_once_it_is_swept(
    store: Store, part: str, method: str, after: bool
) -> None:
    crashing, fault = faulty(store, part, method, after=after, error=CrashError())
    with pytest.raises(CrashError):
        await crashing.put(LARGE)
    assert fault.struck
    await store.swept()
    assert await store.left_behind() == GONE
    assert await store.read(await store.put(LARGE)) == LARGE


@every_store
@WHEN
@pytest.mark.parametrize(("part", "method"), [("rows", "commit"), ("blobs", "delete"), ("rows", "confirm_deletion")])
async def test_the_loser_of_a_race_that_crashes_anywhere_leaves_nothing_once_it_is_swept(
    store: Store, part: str, method: str, after: bool
) -> None:
    racing = replace(store, blobs=Together(store.blobs))  # type: ignore[arg-type]
    crashing, _ = faulty(racing, part, method, after=after, error=CrashError())
    ends = await asyncio.gather(crashing.put(LARGE), racing.put(LARGE), return_exceptions=True)
    assert [end for end in ends if isinstance(end, Asset)]
    await store.swept()
    assert await store.left_behind() == GONE
    [kept] = await store.rows.list("acme", ListQuery())
    assert await store.read(kept) == LARGE


@every_store
@WHEN
@pytest.mark.parametrize(("part", "method"), [("rows", "erase"), ("blobs", "delete"), ("rows", "confirm_deletion")])
async def test_an_erasure_that_crashes_anywhere_is_ended_by_its_repeat_and_a_sweep(
    store: Store, part: str, method: str, after: bool
) -> None:
    asset = await store.put(LARGE)
    crashing, _ = faulty(store, part, method, after=after, error=CrashError())
    with pytest.raises(CrashError):
        await crashing.assets.erase("acme", asset.asset_id, "asked for")
    if method == "erase" and not after:
        await store.assets.erase("acme", asset.asset_id, "asked for")
    await store.swept()
    assert await store.left_behind() == GONE
    assert await store.paths() == set()


@every_store
@WHEN
@pytest.mark.parametrize(
    ("part", "method"),
    [
        ("rows", "claim_for_deletion"),
        ("blobs", "delete"),
        ("rows", "confirm_deletion"),
        ("rows", "filter_unreferenced"),
    ],
)
async def test_a_sweep_that_crashes_anywhere_is_ended_by_the_next(
    store: Store, part: str, method: str, after: bool
) -> None:
    uncommitted, _ = faulty(store, "rows", "commit", after=False, error=CrashError())
    with pytest.raises(CrashError):
        await uncommitted.put(LARGE)
    await store.blobs.put(path_without_row(), chunks(b"from an older version"))
    crashing, fault = faulty(store, part, method, after=after, error=CrashError())
    with pytest.raises(CrashError):
        await crashing.swept()
    assert fault.struck
    await store.swept()
    assert await store.left_behind() == GONE


@every_store
async def test_an_upload_that_won_is_a_success_though_bytes_cannot_be_deleted(store: Store) -> None:
    """Regression: the loser of a race told DEPENDENCY_UNAVAILABLE of an upload that was stored."""
    racing = replace(store, blobs=Together(store.blobs))  # type: ignore[arg-type]
    failing, fault = faulty(racing, "blobs", "delete", after=False, error=outage())
    one, other = await asyncio.gather(failing.put(LARGE), failing.put(LARGE, origin=Origin(job_id="j1")))
    assert fault.struck
    assert one.asset_id == other.asset_id
    assert len(await store.paths()) == 2
    await store.swept()
    assert await store.left_behind() == GONE


@every_store
async def test_the_row_of_a_lost_race_stays_until_its_bytes_are_deleted(store: Store) -> None:
    """Regression: it went with the commit, and nothing pointed to the bytes when they could not be deleted."""
    racing = replace(store, blobs=Together(store.blobs))  # type: ignore[arg-type]
    failing, _ = faulty(racing, "blobs", "delete", after=False, error=outage())
    await asyncio.gather(failing.put(LARGE), failing.put(LARGE, origin=Origin(job_id="j1")))
    paths, unclaimed = await store.left_behind()
    assert len(paths) == 1
    assert paths == {row.storage_path for row in unclaimed}


@every_store
async def test_a_cancelled_put_leaves_a_row_that_a_sweep_finds(store: Store) -> None:
    """Regression: the row went at once, though the object store may have taken the bytes."""
    cut, _ = faulty(store, "blobs", "put", after=True, error=asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await cut.put(LARGE)
    paths, unclaimed = await store.left_behind()
    assert paths == {row.storage_path for row in unclaimed}


@every_store
async def test_a_sweep_takes_nothing_of_an_upload_within_its_grace(store: Store) -> None:
    draft = await unfinished_upload(store)
    await store.clock.advance(GRACE_S - 1)
    assert await store.reconciler.sweep_rows() == 0
    assert (await store.rows.commit(draft, HOLD, "", store.clock.now())).status is Status.READY
    assert await store.read(draft) == LARGE


@every_store
async def test_an_upload_that_a_sweep_claimed_is_never_committed(store: Store) -> None:
    """Regression: the bytes were deleted first, and an upload that ended meanwhile was READY without bytes."""
    draft = await unfinished_upload(store)
    await store.clock.advance(GRACE_S + 1)
    now = store.clock.now()
    assert [row.status for row in await store.rows.claim_for_deletion(now, now, 10)] == [Status.ERASING]
    with pytest.raises(SomaError) as late:
        await store.rows.commit(draft, HOLD, "", now)
    assert late.value.reason is Reason.CONFLICT
    assert await store.rows.get("acme", draft.asset_id) is None


@every_store
async def test_replicas_that_sweep_at_once_claim_each_row_once(store: Store) -> None:
    for _ in range(6):
        await unfinished_upload(store)
    await store.clock.advance(GRACE_S + 1)
    now, later = store.clock.now(), store.clock.now() + timedelta(seconds=60)
    claimed = await asyncio.gather(*(store.rows.claim_for_deletion(now, later, 2) for _ in range(3)))
    ids = [row.asset_id for rows in claimed for row in rows]
    assert len(ids) == len(set(ids)) == 6


@every_store
async def test_a_blob_that_cannot_be_deleted_does_not_hold_up_the_others(store: Store) -> None:
    first, _ = await unfinished_upload(store), await unfinished_upload(store)

    class Stuck:
        def __getattr__(self, name: str) -> object:
            return getattr(store.blobs, name)

        async def delete(self, path: str) -> None:
            if path == first.storage_path:
                raise outage()
            await store.blobs.delete(path)

    await store.clock.advance(GRACE_S + 1)
    assert await replace(store, blobs=Stuck()).reconciler.sweep_rows() == 1  # type: ignore[arg-type]
    assert await store.paths() == {first.storage_path}


@every_store
async def test_a_listing_deletes_old_blobs_of_no_row_and_nothing_else(store: Store) -> None:
    kept = await store.put(LARGE)
    others = "payloads/ab/0197", "_health/written"
    orphan = path_without_row()
    for path in (orphan, *others):
        await store.blobs.put(path, chunks(b"x"))
    assert await store.reconciler.sweep_blobs() == 0
    await store.clock.advance(DAY_S + 60)
    assert await store.reconciler.sweep_blobs() == 1
    assert orphan not in await store.paths()
    assert {kept.storage_path, others[0]} <= await store.paths()


async def test_a_sweep_deletes_what_killed_puts_left_and_nothing_else(postgres_and_folder: Store) -> None:
    """Regression: no listing shows these files, so the bytes of an upload whose process was killed stayed for ever."""
    store, folder = postgres_and_folder, postgres_and_folder.spool / "blobs"
    kept = await store.put(LARGE)
    await store.clock.advance(DAY_S + 60)
    cut, running = (folder / f"{path_without_row()}#1" for _ in range(2))
    for path, at in ((cut, store.clock.now() - timedelta(seconds=DAY_S + 1)), (running, store.clock.now())):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(LARGE)
        os.utime(path, (at.timestamp(), at.timestamp()))
    assert await store.reconciler.sweep_blobs() == 1
    assert (cut.exists(), running.exists()) == (False, True)
    assert await store.read(kept) == LARGE


@every_store
async def test_a_listing_runs_once_a_term_and_for_one_replica_at_a_time(store: Store) -> None:
    now, later = store.clock.now(), store.clock.now() + timedelta(seconds=300)
    before = now - timedelta(days=1)
    taken = await asyncio.gather(*(store.state.acquire(now, before, later) for _ in range(3)))
    assert sorted(cursor is not None for cursor in taken) == [False, False, True]
    await store.state.advance("acme/00/1", later)
    assert await store.state.acquire(later, before, later) == "acme/00/1"
    await store.state.finish(now)
    assert await store.state.acquire(now, before, later) is None


@every_store
async def test_a_blob_store_of_other_rows_is_not_swept(store: Store) -> None:
    orphan = path_without_row()
    await store.blobs.put(orphan, chunks(b"theirs"))
    assert await store.blobs.claim_store("another mesh")
    await store.swept()
    assert await store.paths() == {orphan}


async def test_a_listing_goes_on_where_a_crash_ended_it(memory: Store) -> None:
    assert isinstance(memory.state, MemorySweepState)
    for _ in range(3):
        await memory.blobs.put(path_without_row(), chunks(b"x"))
    last = max(await memory.paths())
    memory.state.cursor = sorted(await memory.paths())[1]
    await memory.clock.advance(2 * DAY_S)
    assert await memory.reconciler.sweep_blobs() == 1
    assert last not in await memory.paths()


async def unfinished_upload(store: Store) -> Asset:
    """An upload whose bytes are stored and whose commit is still to come."""
    asset_id = SystemIds().new()
    draft = Asset(
        asset_id=asset_id, tenant_id="acme", asset_type="text", format="txt", media_type="text/plain",
        filename="a.txt", size_bytes=len(LARGE), checksum=hashlib.sha256(LARGE).hexdigest(), classification="internal",
        status=Status.PENDING, storage_path=blob_path("acme", asset_id), created_by="alice",
        created_at=store.clock.now(),
    )  # fmt: skip
    await store.rows.add_pending(draft, store.clock.now() + timedelta(seconds=GRACE_S))
    await store.blobs.put(draft.storage_path, chunks(LARGE))
    return draft


def path_without_row() -> str:
    return blob_path("acme", SystemIds().new())
