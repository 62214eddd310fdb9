"""Buckets of revoked keys: which differ between two sets."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from mesh.identity.key_ids import BUCKETS
from mesh.identity.revocation_buckets import RevocationBuckets, without_buckets

SETS = st.dictionaries(st.text("ab\u00e9", max_size=6), st.integers(0, 3), max_size=30)


def contents(buckets: RevocationBuckets) -> set[str]:
    return {key_id for index in range(BUCKETS) for key_id in buckets.ids(index)}


@given(SETS, SETS)
def test_buckets_that_differ_make_one_set_of_the_other(one: dict[str, int], other: dict[str, int]) -> None:
    ours, theirs = RevocationBuckets(one), RevocationBuckets(other)
    pairs = zip(ours.digests(), theirs.digests(), strict=True)
    differing = {index for index, (mine, wanted) in enumerate(pairs) if mine != wanted}
    sent = {key_id: other[key_id] for index in differing for key_id in theirs.ids(index)}
    assert without_buckets(one, differing) | sent == other
    assert bool(differing) == (one != other)


@given(SETS, SETS)
def test_digests_follow_what_is_added_and_removed(one: dict[str, int], other: dict[str, int]) -> None:
    buckets = RevocationBuckets(one)
    buckets.digests()
    buckets.add(other)
    buckets.digests()
    for key_id in one:
        buckets.remove(key_id)
    rest = {key_id: until for key_id, until in other.items() if key_id not in one}
    assert contents(buckets) == {*rest}
    assert buckets.digests() == RevocationBuckets(rest).digests()


def test_digest_is_that_of_the_contract() -> None:
    key_id, index = "0196c8f2-0000-7000-8000-000000000001", 906
    assert hashlib.sha256(key_id.encode()).hexdigest().startswith(f"{index:03x}")
    wanted = hashlib.sha256(f"{key_id} 1800000000\n".encode()).digest()[:8]
    digests = RevocationBuckets({key_id: 1_800_000_000}).digests()
    assert [number for number, digest in enumerate(digests) if digest] == [index]
    assert digests[index].to_bytes(8) == wanted
