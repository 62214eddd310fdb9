"""A cache holds no more than it may, whatever is put into it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from svc_selector.domain.lru_cache import WeightedLruCache

ENTRIES, WEIGHT = 5, 20


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 25))))
def test_no_order_of_puts_exceeds_a_bound(puts: list[tuple[int, int]]) -> None:
    cache: WeightedLruCache[int] = WeightedLruCache(ENTRIES, WEIGHT)
    for key, weight in puts:
        cache.put(key, weight, weight)
        assert cache.get(key) == (weight if weight <= WEIGHT else None)
        kept = [value for value in map(cache.get, range(10)) if value is not None]
        assert len(kept) == len(cache) <= ENTRIES
        assert sum(kept) <= WEIGHT


def test_what_was_used_last_stays() -> None:
    cache: WeightedLruCache[str] = WeightedLruCache(2, WEIGHT)
    cache.put("a", "a", 1)
    cache.put("b", "b", 1)
    cache.get("a")
    cache.put("c", "c", 1)
    assert [cache.get(key) for key in "abc"] == ["a", None, "c"]
