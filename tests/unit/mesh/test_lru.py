"""A map that holds a bounded number of entries."""

from __future__ import annotations

from mesh.lru import LruMap


def test_an_entry_is_made_once() -> None:
    entries = LruMap[str, list[int]](2)
    made = entries.get_or_create("a", list)
    assert entries.get_or_create("a", list) is made
    assert entries.get("a") is made
    assert entries.get("b") is None


def test_the_least_recently_used_entry_gives_way() -> None:
    entries = LruMap[str, int](2)
    for key in ("a", "b", "a", "c"):
        entries.get_or_create(key, lambda: 1)
    assert [entries.get(key) for key in ("a", "b", "c")] == [1, None, 1]
    assert len(entries) == 2


def test_nothing_is_left_after_clearing() -> None:
    entries = LruMap[str, int](2)
    entries.get_or_create("a", lambda: 1)
    entries.clear()
    assert len(entries) == 0
