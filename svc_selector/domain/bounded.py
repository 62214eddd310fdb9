"""A cache that is bounded by what it holds."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

V = TypeVar("V")


class BoundedCache(Generic[V]):
    """At most `entries` values whose weights are at most `weight` together; the least recently used leave first."""

    def __init__(self, entries: int, weight: int) -> None:
        self._entries = entries
        self._limit = weight
        self._weight = 0
        self._entries_by_key: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries_by_key)

    def get(self, key: Hashable) -> V | None:
        """The value of a key; None when it is not there."""
        found = self._entries_by_key.get(key)
        if found is None:
            return None
        self._entries_by_key.move_to_end(key)
        return found[0]

    def put(self, key: Hashable, value: V, weight: int) -> None:
        """Keeps a value; one that is heavier than the whole cache is not kept."""
        before = self._entries_by_key.pop(key, None)
        self._weight -= before[1] if before else 0
        if weight > self._limit:
            return
        self._entries_by_key[key] = (value, weight)
        self._weight += weight
        while self._weight > self._limit or len(self._entries_by_key) > self._entries:
            _, (_, gone) = self._entries_by_key.popitem(last=False)
            self._weight -= gone
