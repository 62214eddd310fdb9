"""A cache that is limited by entries and by their weights."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

V = TypeVar("V")


class WeightedLruCache(Generic[V]):
    """Caches at most `max_entries` values of at most `max_weight` together; evicts the least recently used first."""

    def __init__(self, max_entries: int, max_weight: int) -> None:
        self._max_entries = max_entries
        self._max_weight = max_weight
        self._weight = 0
        self._entries_by_key: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries_by_key)

    def get(self, key: Hashable) -> V | None:
        """Returns the value of a key; None when it is not cached."""
        entry = self._entries_by_key.get(key)
        if entry is None:
            return None
        self._entries_by_key.move_to_end(key)
        return entry[0]

    def put(self, key: Hashable, value: V, weight: int) -> None:
        """Caches a value, unless its weight alone exceeds `max_weight`."""
        previous = self._entries_by_key.pop(key, None)
        self._weight -= previous[1] if previous else 0
        if weight > self._max_weight:
            return
        self._entries_by_key[key] = (value, weight)
        self._weight += weight
        while self._weight > self._max_weight or len(self._entries_by_key) > self._max_entries:
            _, (_, evicted_weight) = self._entries_by_key.popitem(last=False)
            self._weight -= evicted_weight
