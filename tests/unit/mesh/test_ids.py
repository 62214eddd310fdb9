"""Ids are unique, ordered, and stable where work may be retried."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from mesh.ids import SystemIds, derive, rng

parts = st.lists(st.text(max_size=10), max_size=4).map(tuple)


def test_ids_are_uuid_v7_in_ascending_order() -> None:
    ids = SystemIds()
    made = [ids.new() for _ in range(10_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert {(UUID(one).version, UUID(one).variant) for one in made} == {(7, "specified in RFC 4122")}


def test_ids_made_in_threads_are_unique() -> None:
    ids = SystemIds()
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: ids.new(), range(4_000)))
    assert len(set(made)) == len(made)


@given(parts)
def test_a_derived_id_is_the_same_each_time(given_parts: tuple[str, ...]) -> None:
    assert derive(*given_parts) == derive(*given_parts)
    assert UUID(derive(*given_parts)).version == 8


@given(parts, parts)
def test_other_parts_derive_another_id(left: tuple[str, ...], right: tuple[str, ...]) -> None:
    assert (derive(*left) == derive(*right)) == (left == right)


def test_a_seeded_generator_repeats_itself() -> None:
    assert rng(7).random() == rng(7).random()
