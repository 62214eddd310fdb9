"""The compact set of the ids of keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.identity.key_ids import BUCKETS, ID_BYTES, KeyIds, id_of

# Few different bytes, so that ids share buckets and overlap each other.
IDS = st.sets(st.lists(st.sampled_from([0, 1, 255]), min_size=ID_BYTES, max_size=ID_BYTES).map(bytes), max_size=40)


@given(IDS, IDS)
def test_set_holds_what_was_added_and_not_removed(added: set[bytes], removed: set[bytes]) -> None:
    ids = KeyIds().with_ids(added).without_ids(removed)
    assert len(ids) == len(added - removed)
    assert {item for item in added | removed if item in ids} == added - removed


@given(IDS, IDS)
def test_ids_across_the_border_of_two_others_are_not_in_it(added: set[bytes], other: set[bytes]) -> None:
    ids = KeyIds().with_ids(added)
    assert {item for item in other if item in ids} == added & other
    joined = ids.to_bytes()
    shifted = {joined[start : start + ID_BYTES] for start in range(8, len(joined) - ID_BYTES, ID_BYTES)}
    assert {item for item in shifted if item in ids} == added & shifted


@given(IDS, IDS)
def test_buckets_that_differ_make_one_set_of_the_other(one: set[bytes], other: set[bytes]) -> None:
    ours, theirs = KeyIds().with_ids(one), KeyIds().with_ids(other)
    wanted = theirs.differing(ours.bucket_digests)
    assert ours.with_buckets({index: theirs.buckets[index] for index in wanted}) == theirs
    assert theirs.differing(theirs.bucket_digests) == []


@given(IDS)
def test_set_comes_back_from_its_bytes(added: set[bytes]) -> None:
    ids = KeyIds().with_ids(added)
    assert KeyIds.from_bytes(ids.to_bytes()) == ids
    assert (KeyIds.from_bytes(ids.to_bytes()).sha256() == KeyIds().sha256()) == (not added)


def test_only_changed_buckets_are_new() -> None:
    before = KeyIds().with_ids([id_of("acme", str(number)) for number in range(100)])
    after = before.with_ids([id_of("acme", "100")])
    assert [after.buckets[index] != before.buckets[index] for index in after.changed_since(before)] == [True]
    assert after.changed_since(after) == []


def test_many_ids_at_once_are_the_same_as_one_after_the_other() -> None:
    first, all_ids = id_of("a", "0"), [id_of("a", str(number)) for number in range(BUCKETS + 2)]
    one_by_one = KeyIds()
    for item in all_ids:
        one_by_one = one_by_one.with_ids([item])
    assert KeyIds().with_ids([first]).with_ids(all_ids) == one_by_one


def test_adding_what_is_there_gives_the_same_set() -> None:
    ids = KeyIds().with_ids([id_of("acme", "1")])
    assert ids.with_ids([id_of("acme", "1")]) is ids


def test_ids_of_tenants_differ() -> None:
    assert len({id_of("a", "b"), id_of("ab", ""), id_of("", "ab"), id_of("b", "a")}) == 4


@pytest.mark.parametrize(
    "bucket",
    [{BUCKETS: b""}, {-1: b""}, {0: b"\0" * 15}, {0: b"\xff" * 16}, {0: b"\0" * 16 + b"\xff" * 16}],
)
def test_bucket_that_cannot_be_is_refused(bucket: dict[int, bytes]) -> None:
    with pytest.raises(ValueError, match="bucket"):
        KeyIds().with_buckets(bucket)


def test_bytes_that_are_cut_off_are_no_set() -> None:
    with pytest.raises(ValueError, match="cut off"):
        KeyIds.from_bytes(b"\0" * 17)
