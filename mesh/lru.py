"""A map that holds a bounded number of entries."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

K = TypeVar("K")
V = TypeVar("V")


class LruMap(Generic[K, V]):
    """Holds at most `size` entries; one more takes the place of the least recently used."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """Returns the entry, without counting that as a use; None when there is none."""
        return self._entries.get(key)

    def get_or_create(self, key: K, make: Callable[[], V]) -> V:
        """Returns the entry, made first if it is not there."""
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        made = self._entries[key] = make()
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)
        return made

    def values(self) -> Iterable[V]:
        """The entries, the least recently used first."""
        return self._entries.values()

    def clear(self) -> None:
        """Removes all entries."""
        self._entries.clear()
