"""Who holds an asset: what a duplicate adds, what a delete takes, and what a repeated request answers."""

from __future__ import annotations

import asyncio

import pytest

from mesh.errors import Reason, SomaError
from svc_assets.domain.model import Asset, Origin, Status
from tests.contract.assets.conftest import BACKENDS
from tests.contract.assets.store import LARGE, Store

every_store = pytest.mark.parametrize("store", BACKENDS, indirect=True)
every_size = pytest.mark.parametrize("body", [b"small", LARGE], ids=["inline", "blob"])


@every_store
@every_size
@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [("public", "confidential", "confidential"), ("confidential", "public", "confidential")],
)
async def test_a_duplicate_keeps_the_strictest_classification(
    store: Store, body: bytes, first: str, second: str, kept: str
) -> None:
    await store.put(body, classification=first)
    answer = await store.put(body, subject="bob", classification=second)
    assert answer.classification == kept
    assert (await store.assets.get("acme", answer.asset_id)).classification == kept


@every_store
async def test_the_answer_to_a_duplicate_says_what_was_dropped(store: Store) -> None:
    first = await store.put(b"doc", filename="plan.txt", metadata={"a": 1}, classification="sensitive")
    answer = await store.put(b"doc", filename="salary.txt", metadata={"b": 2}, classification="public")
    assert (answer.filename, answer.metadata) == ("plan.txt", {"a": 1})
    assert answer.dropped_fields == ("filename", "classification", "metadata")
    assert first.dropped_fields == ()
    assert (await store.put(b"doc", classification="sensitive")).dropped_fields == ()


@every_store
@every_size
async def test_deleting_an_upload_leaves_it_to_jobs_and_to_other_subjects(store: Store, body: bytes) -> None:
    """Regression: one member's delete tombstoned what a job held."""
    asset = await store.put(body)
    await store.put(body, subject="bob")
    await store.put(body, origin=Origin(job_id="j1"))
    for _ in range(2):
        left = await store.delete(asset)
        assert (left.status, left.reference_count) == (Status.READY, 2)
    assert (await store.delete(asset, subject="bob")).reference_count == 1
    assert await store.read(asset) == body
    assert (await store.delete(asset, job_id="j1")).status is Status.TOMBSTONED


@every_store
async def test_a_delete_by_someone_who_holds_nothing_changes_nothing(store: Store) -> None:
    asset = await store.put(b"doc")
    left = await store.delete(asset, subject="mallory")
    assert (left.status, left.reference_count) == (Status.READY, 1)


@every_store
async def test_the_hold_of_a_job_is_given_up_by_its_subject_or_a_service(store: Store) -> None:
    asset = await store.put(b"doc", origin=Origin(job_id="j1"))
    with pytest.raises(SomaError) as denied:
        await store.delete(asset, subject="mallory", job_id="j1")
    assert denied.value.reason is Reason.PERMISSION_DENIED
    assert (await store.delete(asset, subject="executor", job_id="j1", by_service=True)).status is Status.TOMBSTONED


@every_store
async def test_a_job_cannot_be_named_like_a_subject(store: Store) -> None:
    with pytest.raises(SomaError) as refused:
        await store.put(b"doc", origin=Origin(job_id="@bob"))
    assert refused.value.reason is Reason.INVALID_ARGUMENT


@every_store
@every_size
async def test_erasing_ends_every_hold(store: Store, body: bytes) -> None:
    asset = await store.put(body)
    await store.put(body, origin=Origin(job_id="j1"))
    gone = await store.assets.erase("acme", asset.asset_id, "asked for")
    assert (gone.status, gone.reference_count) == (Status.TOMBSTONED, 0)
    assert await store.left_behind() == (set(), [])
    with pytest.raises(SomaError) as erased:
        await store.read(asset)
    assert erased.value.reason is Reason.FAILED_PRECONDITION


@every_store
@every_size
async def test_a_repeated_request_after_the_erasure_is_no_success(store: Store, body: bytes) -> None:
    """Regression: it was answered with the tombstone."""
    asset = await store.put(body, request_id="r1")
    await store.assets.erase("acme", asset.asset_id, "asked for")
    with pytest.raises(SomaError) as refused:
        await store.put(body, request_id="r1")
    assert refused.value.reason is Reason.FAILED_PRECONDITION
    assert refused.value.preconditions[0].type == "TOMBSTONED"
    assert (await store.put(body, request_id="r2")).status is Status.READY


@every_store
async def test_a_repeated_request_after_its_hold_was_given_up_is_no_success(store: Store) -> None:
    asset = await store.put(b"doc", request_id="r1")
    await store.put(b"doc", origin=Origin(job_id="j1"))
    await store.delete(asset)
    with pytest.raises(SomaError) as refused:
        await store.put(b"doc", request_id="r1")
    assert refused.value.reason is Reason.FAILED_PRECONDITION


@every_store
async def test_a_request_id_belongs_to_one_holder(store: Store) -> None:
    await store.put(b"doc", request_id="r1")
    with pytest.raises(SomaError) as refused:
        await store.put(b"doc", subject="bob", request_id="r1")
    assert refused.value.reason is Reason.IDEMPOTENCY_MISMATCH


@every_store
@pytest.mark.parametrize("padding", [b"", LARGE], ids=["inline", "blob"])
async def test_of_two_bodies_at_once_under_one_request_id_one_wins(store: Store, padding: bytes) -> None:
    """Regression: both were answered as stored."""
    bodies = [padding + b"one", padding + b"two"]
    ends = await asyncio.gather(*(store.put(body, request_id="r1") for body in bodies), return_exceptions=True)
    [won] = [end for end in ends if isinstance(end, Asset)]
    [lost] = [end for end in ends if isinstance(end, SomaError)]
    assert lost.reason is Reason.IDEMPOTENCY_MISMATCH
    assert await store.read(won) == bodies[ends.index(won)]
    await store.swept()
    assert await store.left_behind() == (set(), [])


@every_store
async def test_the_same_body_at_once_under_one_request_id_is_stored_once(store: Store) -> None:
    ends = await asyncio.gather(*(store.put(LARGE, request_id="r1") for _ in range(4)))
    assert len({end.asset_id for end in ends}) == 1
    assert ends[0].reference_count == 1


async def test_a_hold_from_before_subjects_were_told_apart_belongs_to_who_stored_the_asset(
    postgres_and_folder: Store,
) -> None:
    store = postgres_and_folder
    asset = await store.put(b"old")
    async with store.rows._postgres.transaction("acme") as connection:  # type: ignore[attr-defined]
        await connection.execute("UPDATE asset_holders SET holder = 'direct', subject = ''")
    assert (await store.delete(asset, subject="bob")).status is Status.READY
    assert (await store.delete(asset)).status is Status.TOMBSTONED
